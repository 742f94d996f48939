"""Your own AWS for the stack: its identity, the first output, and its separate state."""

import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg2
import pytest

from demo.runs import runs_of
from stack import own_aws
from stack.airflow_api import AirflowApi
from stack.own_aws import identify, wanted
from stack.services import free_port
from stack.settings import REPOSITORY, Settings, StackError
from stack.up import welcome
from tests.integration.raw_server import RawServer, http_answer

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client

ACCOUNT = "123456789012"
PROFILES = f"""
[profile mine]
aws_access_key_id = {ACCOUNT}
aws_secret_access_key = secret
region = eu-central-1

[profile nowhere]
aws_access_key_id = {ACCOUNT}
aws_secret_access_key = secret

[profile without-keys]
region = eu-central-1

[profile of-one-who-logs-in]
sso_session = office
sso_account_id = {ACCOUNT}
sso_role_name = developer
region = eu-central-1

[sso-session office]
sso_start_url = https://localhost
sso_region = eu-central-1
"""
"""The emulator reads a key of 12 digits as the account."""

DEAF = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}


@pytest.fixture
def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Profiles of a test user, instead of your own."""
    file = tmp_path / "config"
    file.write_text(PROFILES)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(file))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return file


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path is short enough for the stack."""
    with tempfile.TemporaryDirectory(prefix="stack-") as made:
        yield Path(made).resolve()


@pytest.mark.usefixtures("profiles")
def test_the_aws_identity_and_region_are_shown_with_a_warning(
    aws: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws)
    monkeypatch.setenv("AWS_PROFILE", "mine")
    own = identify()
    assert own == own_aws.OwnAws(ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root", "eu-central-1")
    assert f"account {ACCOUNT}, region eu-central-1, as arn:aws:iam::" in own.warning()
    assert "call your real functions" in own.warning()
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert identify().region == "eu-west-1"
    monkeypatch.delenv("AWS_PROFILE")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "210987654321")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert identify().account == "210987654321"


@pytest.mark.usefixtures("profiles")
@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"AWS_PROFILE": "my"}, "AWS_PROFILE is 'my', but no profile .*; the profiles are: mine"),
        ({"AWS_PROFILE": "nowhere"}, "the profile 'nowhere' has no region: set AWS_REGION"),
        ({}, "the environment has no region: set AWS_REGION"),
        ({"AWS_PROFILE": "without-keys"}, "'without-keys' has no keys.*: set AWS_PROFILE"),
        ({"AWS_PROFILE": "of-one-who-logs-in"}, "in' has no valid keys .*: log in again"),
        (
            {"AWS_PROFILE": "mine", "AWS_REGION": "eu-centrl-1", **DEAF},
            "does not respond in the region 'eu-centrl-1' .*did you mean eu-central-1",
        ),
        (
            {"AWS_PROFILE": "mine", **DEAF},
            "does not respond in the region 'eu-central-1' .*check the region, the network",
        ),
        ({"AWS_PROFILE": "mine", "AWS_ACCESS_KEY_ID": "k"}, "are both set, and boto3 would"),
        ({"AIRFLOW_CONN_AWS_DEFAULT": "aws://"}, "DEFAULT are both set: unset one"),
    ],
)  # fmt: skip
def test_a_bad_setting_is_named_with_what_to_do(
    environ: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StackError, match=message):
        identify()


@pytest.mark.usefixtures("profiles")
@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("ExpiredToken", "the keys of the profile 'mine' have expired .*: log in again"),
        ("InvalidClientTokenId", "or the account has not enabled the region eu-central-1"),
    ],
)
def test_different_refusals_of_keys_are_distinguished(
    code: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = f"<ErrorResponse><Error><Code>{code}</Code><Message>no</Message></Error></ErrorResponse>"
    with RawServer(lambda _: http_answer(body.encode(), status="403 Forbidden")) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        monkeypatch.setenv("AWS_PROFILE", "mine")
        with pytest.raises(StackError, match=message):
            identify()


def test_your_own_aws_is_used_only_on_request(folder: Path) -> None:
    environ = {"RETROFILL_STACK_DIR": str(folder), "AWS_PROFILE": "mine", "AWS_ACCESS_KEY_ID": "k"}
    assert not wanted(environ)
    assert Settings.from_environment(environ).aws_embedded
    assert wanted({"RETROFILL_AWS": "own"})
    with pytest.raises(
        StackError, match="RETROFILL_AWS: 'mine' is not allowed; give emulator or own"
    ):
        wanted({"RETROFILL_AWS": "mine"})


@pytest.mark.parametrize(
    ("named", "environ", "options"),
    [
        (["AWS_PROFILE=mine"], {}, "RETROFILL_AWS=own"),
        (["AWS=own"], {"AWS_PROFILE": "mine"}, "RETROFILL_AWS=own"),
        ([], {"AWS_PROFILE": "mine", "AWS": "own"}, ""),
    ],
)
def test_make_reads_the_profile_only_from_its_command_line(
    named: list[str], environ: dict[str, str], options: str
) -> None:
    done = subprocess.run(  # noqa: S603  our own Makefile
        ["make", "--dry-run", "up", *named],  # noqa: S607
        cwd=REPOSITORY,
        env=os.environ | environ,
        check=True,
        capture_output=True,
        text=True,
    )
    (command,) = done.stdout.replace("\\\n", "").split(".venv/bin/python -m stack.up")[:1]
    assert command.splitlines()[-1].split() == options.split()


def test_each_account_has_its_own_state(folder: Path) -> None:
    environ = {"RETROFILL_STACK_DIR": str(folder)}
    settings = Settings.from_environment(environ, account=ACCOUNT, region="eu-central-1")
    settings.require_same_aws()
    settings.save()
    settings.require_same_aws()
    assert (settings.aws_embedded, settings.aws_endpoint_url) == (False, "")
    for other, name in [({}, "an emulator"), ({"account": "210987654321"}, "account 210987654321")]:
        with pytest.raises(StackError, match=f"of runs on account {ACCOUNT}, not on {name}: set"):
            Settings.from_environment(environ, **other).require_same_aws()
    said = welcome(settings)
    assert f"your own, account {ACCOUNT}, region eu-central-1" in said
    assert "with preview, then with approve" in said
    assert "make demo" not in said


def test_nothing_starts_without_a_known_identity(profiles: Path, folder: Path) -> None:
    environ = {"RETROFILL_AWS": "own", "AWS_PROFILE": "my", "AWS_CONFIG_FILE": str(profiles)}
    done = subprocess.run(
        [sys.executable, "-m", "stack.up"],
        cwd=REPOSITORY,
        env={**os.environ, **environ, "RETROFILL_STACK_DIR": str(folder)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: AWS_PROFILE is 'my'")
    assert list(folder.iterdir()) == []


HANDLER = "def handler(event, context):\n    return len(event['Records'])\n"
BUCKET, FUNCTION = "own-photos", "own-resize"


@contextmanager
def stack_up(environ: dict[str, str]) -> Iterator[list[str]]:
    """Run a stack; yield its output so far."""
    with subprocess.Popen(
        [sys.executable, "-m", "stack.up"],
        cwd=REPOSITORY,
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if line.startswith("Ctrl-C"):
                break
        try:
            yield said
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=120)


@pytest.mark.faults
@pytest.mark.stack
@pytest.mark.timeout(900)
def test_a_run_calls_the_profiles_function_and_the_state_survives_a_restart(
    aws: str, profiles: Path, folder: Path, s3_client: "S3Client", lambda_client: "LambdaClient"
) -> None:
    profile = f"[profile mine]\nregion = us-east-1\nendpoint_url = {aws}\n"
    profiles.write_text(f"{profile}aws_access_key_id = test\naws_secret_access_key = test\n")
    s3_client.create_bucket(Bucket=BUCKET)
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as file:
        file.writestr("code.py", HANDLER)
    lambda_client.create_function(
        FunctionName=FUNCTION,
        Runtime="python3.11",
        Role="arn:aws:iam::000000000000:role/any",
        Handler="code.handler",
        Code={"ZipFile": package.getvalue()},
    )
    lambda_client.get_waiter("function_active_v2").wait(FunctionName=FUNCTION)
    for number in range(12):
        s3_client.put_object(Bucket=BUCKET, Key=f"{number:02}.jpg", Body=b"x")
    environ = {
        "RETROFILL_AWS": "own",
        "AWS_PROFILE": "mine",
        "RETROFILL_STACK_DIR": str(folder),
        "RETROFILL_AIRFLOW_PORT": str(free_port()),
        "RETROFILL_POSTGRES_PORT": str(free_port()),
    }
    params = {
        "job": "photos",
        "bucket": BUCKET,
        "whole_bucket": True,
        "function": FUNCTION,
        "event": "s3",
    }
    for run, expected in [("first", (12, 0)), ("second", (0, 12))]:
        with stack_up(environ) as said:
            assert said[0].startswith(
                "your own AWS: account 000000000000, region us-east-1, as arn:"
            )
            assert not any("MiniStack" in line for line in said), said
            settings = Settings.from_environment(
                environ, account="000000000000", region="us-east-1"
            )
            with AirflowApi(settings) as api:
                api.unpause("retrofill_s3", within_s=120)
                api.trigger("retrofill_s3", run, params)
                ended = api.await_end("retrofill_s3", run)
                assert ended == "success", "\n".join(api.failures("retrofill_s3", run))
            with closing(psycopg2.connect(settings.state_dsn)) as conn:
                counts = runs_of(conn, "photos")[-1]
        assert (counts.new, counts.known, counts.quarantined) == (*expected, 0)
    assert json.loads((folder / "settings.json").read_text())["aws_account"] == "000000000000"
