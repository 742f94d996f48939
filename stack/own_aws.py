"""One's own AWS in place of the emulator: which account is asked, by whom, and in which region."""

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
_LOG_IN = "log in again, as with aws sso login, or take new keys"


@dataclass(frozen=True)
class OwnAws:
    """Who AWS says that we are, and the region that is asked."""

    account: str
    arn: str
    region: str

    def warning(self) -> str:
        """Return what a person should know before the first call."""
        return (
            f"your own AWS: account {self.account}, region {self.region}, as {self.arn}\n"
            "Runs call your real functions, which may write, send and cost. Nothing is called\n"
            "before you trigger a run: begin with preview, then with approve and a narrow prefix."
        )


def wanted(environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether the stack is to use one's own AWS.

    Keys or a profile in the environment are not enough: they are there for other work, too.

    :raises StackError: the variable has another value
    """
    told = environ.get(_VARIABLE) or "emulator"
    if told not in {"emulator", "own"}:
        raise StackError(f"{_VARIABLE} is {told!r}: allowed are emulator and own")
    return told == "own"


def identified(environ: Mapping[str, str] = os.environ) -> OwnAws:
    """Ask AWS who we are, as boto3 finds profile, keys and region in the process's environment.

    :param environ: the variables that are told about in errors
    :raises StackError: there is no region, or no identity in it; the message says what to do
    """
    _require_one_answer(environ)
    profile = environ.get("AWS_PROFILE")
    who = f"the profile {profile!r}" if profile else "the environment"
    try:
        session = boto3.Session()
        region = environ.get("AWS_REGION") or session.region_name
    except ProfileNotFound as error:
        raise StackError(_no_profile(profile or "")) from error
    if not region:
        raise StackError(f"{who} names no region: set AWS_REGION to that of your buckets")
    try:
        sts = session.client("sts", region_name=region, config=_BRIEFLY)
        told = sts.get_caller_identity()
    except (NoCredentialsError, PartialCredentialsError) as error:
        keys = "AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        raise StackError(f"{who} gives no keys for AWS ({error}): set {keys}") from error
    except (CredentialRetrievalError, SSOError, TokenRetrievalError) as error:
        raise StackError(f"{who} gives no keys for AWS ({error}): {_LOG_IN}") from error
    except ClientError as error:
        raise StackError(_refused(who, region, error)) from error
    except BotoCoreError as error:
        raise StackError(_unanswered(region, error)) from error
    return OwnAws(account=told["Account"], arn=told["Arn"], region=region)


def _require_one_answer(environ: Mapping[str, str]) -> None:
    """Make sure that only one thing says which AWS is asked, and by whom.

    :raises StackError: two do
    """
    if environ.get("AIRFLOW_CONN_AWS_DEFAULT"):
        raise StackError(f"{_VARIABLE}=own and AIRFLOW_CONN_AWS_DEFAULT are both set: unset one")
    if environ.get("AWS_PROFILE") and environ.get("AWS_ACCESS_KEY_ID"):
        raise StackError(
            "AWS_PROFILE and AWS_ACCESS_KEY_ID are both set, and boto3 would take the keys:"
            " unset AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )


def _no_profile(name: str) -> str:
    known = get_session().available_profiles
    there = f"there are {', '.join(known)}" if known else "there is none at all"
    return f"AWS_PROFILE is {name!r}, and no profile has that name: {there}"


def _refused(who: str, region: str, error: ClientError) -> str:
    code = error.response.get("Error", {}).get("Code", "")
    if code in _EXPIRED:
        return f"the keys that {who} gives have expired ({code}): {_LOG_IN}"
    return (
        f"AWS does not take the keys that {who} gives ({error}): they are wrong or switched off,"
        f" or the account does not use the region {region}"
    )


def _unanswered(region: str, error: Exception) -> str:
    session = get_session()
    known = [
        name
        for partition in session.get_available_partitions()
        for name in session.get_available_regions("lambda", partition)
    ]
    alike = "" if region in known else ", ".join(get_close_matches(region, known, 3))
    mend = f"did you mean {alike}?" if alike else "check the region, the network and proxies"
    return f"AWS does not answer in the region {region!r} ({error}): {mend}"
