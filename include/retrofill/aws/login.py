"""Authentication tokens for AWS databases."""

from botocore.exceptions import ClientError, ParamValidationError

from retrofill.aws.refusals import Refusal, explained
from retrofill.model.connections import AwsSession
from retrofill.model.errors import ConfigError, StateUnavailable


def database_token(session: AwsSession, host: str, port: int, login: str) -> str:
    """Return the token that replaces a login's password. It is signed locally, without a request.

    :raises ConfigError: the connection to AWS has no credentials
    :raises StateUnavailable: credentials or region are not available now
    """
    with explained(_refused, _unanswered):
        token: str = session.client("rds").generate_db_auth_token(host, port, login)
        return token


def _refused(error: ClientError | ParamValidationError, _: Refusal) -> ConfigError:
    return ConfigError(f"aws_conn_id: it cannot make a token for the database ({error})")


def _unanswered(error: Exception) -> StateUnavailable:
    return StateUnavailable(f"aws_conn_id: it cannot make a token for the database now ({error})")
