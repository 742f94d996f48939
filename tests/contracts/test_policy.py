"""The IAM policy in the reference allows exactly the operations that the code uses."""

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
"""Functions that take the name of an operation that lists by pages."""
READS = ("Describe", "Get", "List")
# AWS has no resource for these, or they list all resources.
NO_RESOURCES = {
    "events:ListRules",
    "lambda:GetAccountSettings",
    "lambda:ListEventSourceMappings",
    "pipes:ListPipes",
}
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html and
# .../list_awslambda.html: these permissions are named unlike their operations.
PERMISSIONS = {
    "lambda:Invoke": "lambda:InvokeFunction",
    # The permission to put an object includes this one.
    "s3:CreateMultipartUpload": "s3:PutObject",
    "s3:GetBucketNotificationConfiguration": "s3:GetBucketNotification",
    "s3:HeadObject": "s3:GetObject",
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:ListObjectVersions": "s3:ListBucketVersions",
}
# What an operation needs in addition if it names a version.
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
    """Return the operation behind each method of boto3's clients."""
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
    assert called, "no call of AWS was found"
    needed = {PERMISSIONS.get(operation, operation) for operation in called}
    needed |= {OF_VERSIONS[operation] for operation in called & set(OF_VERSIONS)}
    assert needed == set().union(*map(actions, statements()))


def test_only_calls_notifications_and_report_files_change_anything_in_aws() -> None:
    allowed = set().union(*map(actions, statements()))
    changing = {one for one in allowed if not one.split(":")[1].startswith(READS)}
    written = {"s3:PutObject", "s3:AbortMultipartUpload"}
    assert changing == {"lambda:InvokeFunction", "sns:Publish"} | written


def test_aws_accepts_the_policy() -> None:
    assert policy()["Version"] == "2012-10-17"
    assert {statement["Effect"] for statement in statements()} == {"Allow"}
    resources = [statement["Resource"] for statement in statements()]
    assert len(set(map(str, resources))) == len(resources)


@pytest.mark.parametrize("statement", statements(), ids=lambda one: str(one["Resource"]))
def test_the_policy_names_its_resources(statement: dict[str, object]) -> None:
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
