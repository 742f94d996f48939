"""After whole runs, no secret is readable anywhere, and no param was rendered as a template."""

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any
from urllib.parse import quote

import psycopg2
from psycopg2 import sql

from stack.endpoint import Bucket, Function, Reply, Rule, S3Object, Script
from stack.services import free_port
from tests.faults.world import World

# Each is planted in one place. None is part of another, or of anything else.
SECRETS = {
    "password of the AWS connection": "Planted1SecretAccessKeyQx7",
    "session token of the AWS connection": "Planted2SessionTokenLm4",
    "login in an Apprise URL": "Planted3AppriseLoginVt9",
    "token in the path of an Apprise URL": "Planted4ApprisePathHk2",
    "Apprise URL that cannot be read": "Planted5BrokenUrlRw8",
    "Apprise URL of a server that is not there": "Planted6NobodyThereDn3",
    "URL as notify_conn_id": "Planted7InNotifyConnIdGz6",
    "URL as aws_conn_id": "Planted8InAwsConnIdBc1",
    "URL as function": "Planted9InFunctionYp5",
    "URL as bucket": "Planted10InBucketTj7",
    "URL as notify_sns_topic_arn": "Planted11InTopicEs4",
}
IN_AN_UNKNOWN_PARAM = "Planted12InUnknownParamWf9"
AUDIT_LOG = "airflow: public.log"
PRODUCT = "{{ 31337 * 31337 }}"
MULTIPLIED = "982007569"


def forms(secret: str) -> list[bytes]:
    """Return the forms of a text: as it is, in a URL, in base64, in hexadecimal."""
    encoded = secret.encode()
    shifted = [base64.b64encode(b"x" * shift + encoded)[4 * bool(shift) : -4] for shift in range(3)]
    return [encoded, quote(secret).encode(), encoded.hex().encode(), *shifted]


def tables(dsn: str) -> Iterator[tuple[str, bytes]]:
    """Yield every table and view of a database with its content."""
    with closing(psycopg2.connect(dsn)) as conn, conn.cursor() as cur:
        cur.execute(
            "SELECT table_schema, table_name FROM information_schema.tables"
            " WHERE table_schema NOT IN ('pg_catalog', 'information_schema') ORDER BY 1, 2"
        )
        for schema, name in cur.fetchall():
            rows = sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(schema, name))
            cur.execute(rows)
            yield f"{schema}.{name}", "\n".join(row[0] for row in cur).encode()


def places(world: World) -> dict[str, bytes]:
    """Return everything of the stack that users may read, by place."""
    directory = world.settings.directory
    found = {
        str(path.relative_to(directory)): path.read_bytes()
        for folder in ("logs", "airflow/logs")
        for path in sorted((directory / folder).rglob("*"))
        if path.is_file()
    }
    # Its connections are among them, encrypted.
    found |= {f"airflow: {name}": text for name, text in tables(world.settings.metadata_dsn)}
    found |= {f"state: {name}": text for name, text in tables(world.settings.state_dsn)}
    found["notifications"] = json.dumps(world.notices.received).encode()
    return found


def holders(secret: str, texts: dict[str, bytes]) -> list[str]:
    return [name for name, text in texts.items() if any(form in text for form in forms(secret))]


def plant(world: World) -> None:
    connect = world.airflow.connect
    extra = {
        "region_name": "us-east-1",
        "endpoint_url": world.settings.aws_endpoint_url,
        "aws_session_token": SECRETS["session token of the AWS connection"],
    }
    secret_key = SECRETS["password of the AWS connection"]
    connect("planted_aws", "aws", login="AKIAPLANTED", password=secret_key, extra=json.dumps(extra))
    login, path = SECRETS["login in an Apprise URL"], SECRETS["token in the path of an Apprise URL"]
    address = world.notices.apprise_url.removeprefix("json://")
    broken, nobody = list(SECRETS.values())[4:6]
    for conn_id, url in {
        "planted_notices": f"json://user:{login}@{address}/{path}",
        "planted_broken": f"nosuchservice://user:{broken}@example/{broken}",
        "planted_nobody": f"json://user:{nobody}@127.0.0.1:{free_port()}/{nobody}",
    }.items():
        connect(conn_id, "apprise", extra=json.dumps({"config": {"path": url, "tag": "all"}}))


def serve(world: World) -> dict[str, Any]:
    """Serve a bucket, a function that fails for one object, and one that may not be called."""
    objects = tuple(S3Object(key=f"data/{PRODUCT}/{number:03}", size=1) for number in range(40))
    refused = Reply(error="AccessDeniedException", message="not authorized")
    failed = Reply(function_error="ValueError", message="no")
    world.endpoint.script(
        Script(
            buckets=(Bucket(name="planted", objects=objects),),
            functions=(Function(name="planted"), Function(name="refused")),
            rules=(
                Rule(resource="refused", reply=refused),
                Rule(keys=frozenset({objects[7].key}), reply=failed),
            ),
            latency=0.01,
        )
    )
    return {
        "bucket": "planted",
        "prefix": "data/",
        "function": "planted",
        "event": "s3",
        "aws_conn_id": "planted_aws",
        "items_per_call": 4,
        "max_attempts": 2,
    }


def test_secrets_are_nowhere_readable(world: World, figures: Callable[[str, Any], None]) -> None:
    plant(world)
    base = serve(world)
    free_texts = {
        "job": f"{{{{ conn.planted_aws.password }}}} {PRODUCT}",
        "prefix": f"data/{PRODUCT}",
        "key_glob": f"*{PRODUCT}*",
    }
    runs = {
        # Everything: calls, a failure, quarantine, a notification; a template in each free text.
        "whole": {**base, **free_texts, "notify_conn_id": "planted_notices"},
        "refused": {**base, "function": "refused", "job": "refused"},
        "broken": {**base, "job": "broken", "notify_conn_id": "planted_broken"},
        "nobody": {**base, "job": "nobody", "notify_conn_id": "planted_nobody"},
        "unknown": {**base, "notify_url": f"https://user:{IN_AN_UNKNOWN_PARAM}@example.com"},
    }
    for name, params in runs.items():
        world.airflow.trigger("retrofill_s3", f"secrets-{name}", params)
    misplaced = zip(
        ("notify_conn_id", "aws_conn_id", "function", "bucket", "notify_sns_topic_arn"),
        list(SECRETS.values())[6:],
        strict=True,
    )
    templates = ("bucket", "function", "qualifier", "aws_conn_id", "notify_conn_id")
    refused = {
        **{f"a URL as {name}": (name, f"https://user:{text}@x/{text}") for name, text in misplaced},
        **{f"a template as {name}": (name, PRODUCT) for name in templates},
    }
    for number, (name, text) in enumerate(refused.values()):
        world.airflow.trigger("retrofill_s3", f"refused-{number}", {**base, name: text})

    states = {name: world.airflow.await_end("retrofill_s3", f"secrets-{name}") for name in runs}
    ends = {world.airflow.await_end("retrofill_s3", f"refused-{n}") for n in range(len(refused))}
    assert ends == {"failed"}

    assert (states["whole"], states["refused"], states["unknown"]) == (
        "success",
        "failed",
        "failed",
    )
    report = world.report(free_texts["job"])
    assert (report["succeeded"], report["quarantined"]) == (39, 1)
    texts = places(world)
    logs = {name: text for name, text in texts.items() if name.startswith("airflow/logs/dag_id=")}
    seen = {
        "log": b"".join(logs.values()),
        "XCom": texts["airflow: public.xcom"],
        "rendered fields": texts["airflow: public.rendered_task_instance_fields"],
        "audit log": texts[AUDIT_LOG],
        "views": texts["state: retrofill.v_run"] + texts["state: retrofill.v_call"],
        "notification": texts["notifications"],
    }
    assert [name for name, text in seen.items() if len(text) < 100] == [], "all places are read"
    assert holders("AKIAPLANTED", {"": texts["airflow: public.connection"]}), (
        "the secret is planted"
    )

    # No secret of a connection is readable anywhere, in any form. Values that users type into
    # params are theirs: Airflow shows them with the DAG run and in its audit log. They are not in
    # logs or in the state.
    typed = {"airflow: public.dag_run", AUDIT_LOG}
    found = {what: set(holders(secret, texts)) for what, secret in SECRETS.items()}
    assert {what for what, names in found.items() if names} == {
        what for what in SECRETS if what.startswith("URL as ")
    }
    assert set().union(*found.values()) <= typed
    password = world.settings.secrets.postgres_password
    assert holders(password, texts) == []
    assert set(holders(IN_AN_UNKNOWN_PARAM, texts)) <= typed

    # Nothing was rendered, neither the job's name nor the labels of mapped tasks.
    assert holders(MULTIPLIED, texts) == []
    labels = [
        str(one["rendered_map_index"])
        for one in world.airflow.task_instances("retrofill_s3", "secrets-whole")
        if one["task_id"] == "enqueue"
    ]
    assert any(PRODUCT in label for label in labels), labels
    figures("secrets planted", len(SECRETS) + 2)
    figures("places searched", f"{len(texts):,}, of which {len(logs)} logs of tasks")
    figures("bytes searched", f"{sum(map(len, texts.values())):,}")
