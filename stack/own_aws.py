"""Your own AWS instead of the emulator: the account, the region, and who you are there."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)
from botocore.session import get_session

from stack.settings import StackError

_VARIABLE = "RETROFILL_AWS"
_BRIEFLY = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 2})
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
_LOG_IN = "log in again, for example with aws sso login, or get new keys"


@dataclass(frozen=True)
class OwnAws:
    """An account and region of AWS, and your identity there."""

    account: str
    arn: str
    region: str

    def warning(self) -> str:
        """Return the text to show before the stack starts."""
        return (
            f"your own AWS: account {self.account}, region {self.region}, as {self.arn}\n"
            "Runs call your real functions, which may write, send and cost money. Nothing\n"
            "is called until you trigger a run: begin with preview, then with approve and a\n"
            "narrow prefix."
        )


def wanted(environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether the stack shall use your own AWS.

    Keys or a profile in the environment are not enough: they may be there for other work.

    :raises StackError: the variable has another value
    """
    value = environ.get(_VARIABLE) or "emulator"
    if value not in {"emulator", "own"}:
        raise StackError(f"{_VARIABLE}: {value!r} is not allowed; give emulator or own")
    return value == "own"


def identify() -> OwnAws:
    """Return the identity that boto3 finds with the profile, keys and region of this process.

    :raises StackError: it finds no region or no identity; the message says what to do
    """
    _require_unambiguous()
    profile = os.environ.get("AWS_PROFILE")
    who = f"the profile {profile!r}" if profile else "the environment"
    try:
        session = boto3.Session()
        region = os.environ.get("AWS_REGION") or session.region_name
    except ProfileNotFound as error:
        known = ", ".join(get_session().available_profiles) or "none"
        raise StackError(
            f"AWS_PROFILE is {profile!r}, but no profile has that name; the profiles are: {known}"
        ) from error
    if not region:
        raise StackError(f"{who} has no region: set AWS_REGION to the region of your buckets")
    try:
        sts = session.client("sts", region_name=region, config=_BRIEFLY)
        found = sts.get_caller_identity()
    except (NoCredentialsError, PartialCredentialsError) as error:
        keys = "AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        raise StackError(f"{who} has no keys for AWS ({error}): set {keys}") from error
    except (CredentialRetrievalError, SSOError, TokenRetrievalError) as error:
        raise StackError(f"{who} has no valid keys for AWS ({error}): {_LOG_IN}") from error
    except ClientError as error:
        raise StackError(_refused(who, region, error)) from error
    except BotoCoreError as error:
        raise StackError(_unanswered(region, error)) from error
    return OwnAws(account=found["Account"], arn=found["Arn"], region=region)


def _require_unambiguous() -> None:
    """Check that the environment names only one AWS and one identity.

    :raises StackError: it names two
    """
    if os.environ.get("AIRFLOW_CONN_AWS_DEFAULT"):
        raise StackError(f"{_VARIABLE}=own and AIRFLOW_CONN_AWS_DEFAULT are both set: unset one")
    if os.environ.get("AWS_PROFILE") and os.environ.get("AWS_ACCESS_KEY_ID"):
        raise StackError(
            "AWS_PROFILE and AWS_ACCESS_KEY_ID are both set, and boto3 would use the keys:"
            " unset AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )


def _refused(who: str, region: str, error: ClientError) -> str:
    code = error.response.get("Error", {}).get("Code", "")
    if code in _EXPIRED:
        return f"the keys of {who} have expired ({code}): {_LOG_IN}"
    return (
        f"AWS refuses the keys of {who} ({error}): they are wrong or inactive,"
        f" or the account has not enabled the region {region}"
    )


def _unanswered(region: str, error: Exception) -> str:
    session = get_session()
    known = [
        name
        for partition in session.get_available_partitions()
        for name in session.get_available_regions("lambda", partition)
    ]
    alike = "" if region in known else ", ".join(get_close_matches(region, known, 3))
    fix = f"did you mean {alike}?" if alike else "check the region, the network and proxies"
    return f"AWS does not respond in the region {region!r} ({error}): {fix}"
