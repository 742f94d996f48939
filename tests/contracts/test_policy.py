"""The IAM policy of the reference allows what the code asks of AWS, and nothing else."""

import ast
import json
import re
from pathlib import Path

import botocore.session
import pytest
from botocore import xform_name

ROOT = Path(__file__).parents[2]
SERVICES = ("events", "lambda", "pipes", "s3", "sns")
LISTINGS = ("get_paginator", "list_all")
"""What is given the name of an operation that lists by pages."""
READS = ("Describe", "Get", "List")
# AWS knows no resource for these, or they list what is there.
NO_RESOURCES = {
    "events:ListRules",
    "lambda:GetAccountSettings",
    "lambda:ListEventSourceMappings",
    "pipes:ListPipes",
}
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html and
# .../list_awslambda.html: these permissions are not called like their operations.
PERMISSIONS = {
    "lambda:Invoke": "lambda:InvokeFunction",
    # Whoever may put an object may begin to.
    "s3:CreateMultipartUpload": "s3:PutObject",
    "s3:GetBucketNotificationConfiguration": "s3:GetBucketNotification",
    "s3:HeadObject": "s3:GetObject",
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:ListObjectVersions": "s3:ListBucketVersions",
}
# What an operation needs besides if a version is asked for.
OF_VERSIONS = {"s3:HeadObject": "s3:GetObjectVersion"}
_FENCED = re.compile(r"```json\n(.*?)\n```", re.DOTALL)


def policy() -> dict[str, object]:
    (text,) = _FENCED.findall((ROOT / "docs/reference/permissions.md").read_text())
    return json.loads(text)


def statements() -> list[dict[str, object]]:
    listed = policy()["Statement"]
    assert isinstance(listed, list)
    return listed


def actions(statement: dict[str, object]) -> set[str]:
    found = statement["Action"]
    return {found} if isinstance(found, str) else set(found)  # type: ignore[call-overload]


def operations() -> dict[str, str]:
    """Return the operation that each method of boto3's clients stands for."""
    session = botocore.session.get_session()
    return {
        xform_name(operation): f"{service}:{operation}"
        for service in SERVICES
        for operation in session.get_service_model(service).operation_names
    }


def test_the_policy_allows_what_the_code_calls() -> None:
    known = operations()
    called = {
        known[node.func.attr]
        for path in (ROOT / "include").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in known
    } | {
        known[argument.value]
        for path in (ROOT / "include").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(LISTINGS)
        for argument in node.args
        if isinstance(argument, ast.Constant)
    }
    assert called, "no call was found"
    needed = {PERMISSIONS.get(operation, operation) for operation in called}
    needed |= {OF_VERSIONS[operation] for operation in called & set(OF_VERSIONS)}
    assert needed == set().union(*map(actions, statements()))


def test_nothing_in_aws_is_changed_but_by_calls_notifications_and_report_files() -> None:
    allowed = set().union(*map(actions, statements()))
    changing = {one for one in allowed if not one.split(":")[1].startswith(READS)}
    written = {"s3:PutObject", "s3:AbortMultipartUpload"}
    assert changing == {"lambda:InvokeFunction", "sns:Publish"} | written


def test_the_policy_is_one_that_aws_takes() -> None:
    assert policy()["Version"] == "2012-10-17"
    assert {statement["Effect"] for statement in statements()} == {"Allow"}
    resources = [statement["Resource"] for statement in statements()]
    assert len(set(map(str, resources))) == len(resources)


@pytest.mark.parametrize("statement", statements(), ids=lambda one: str(one["Resource"]))
def test_the_policy_names_what_it_allows(statement: dict[str, object]) -> None:
    resources = statement["Resource"]
    for resource in [resources] if isinstance(resources, str) else resources:  # type: ignore[attr-defined]
        if resource == "*":
            assert actions(statement) <= NO_RESOURCES
            continue
        service = resource.split(":")[2]
        assert all(action.startswith(f"{service}:") for action in actions(statement))
        assert resource.split(":", 5)[5].rstrip(":*")
        assert not any("*" in action for action in actions(statement))


def test_the_policy_covers_a_function_by_name_and_by_version() -> None:
    found = {
        str(one["Resource"]) for one in statements() if "lambda:InvokeFunction" in actions(one)
    }
    plain = min(found, key=len)
    assert found == {plain, f"{plain}:*"}
