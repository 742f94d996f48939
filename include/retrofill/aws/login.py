"""Authentication tokens for AWS databases."""

from retrofill.aws.refusals import explained
from retrofill.model.connections import AwsSession
from retrofill.model.errors import ConfigError, StateUnavailable


def database_token(session: AwsSession, host: str, port: int, login: str) -> str:
    """Return the token that replaces a login's password. It is signed locally, without a request.

    :raises ConfigError: the connection to AWS has no credentials
    :raises StateUnavailable: credentials or region are not available now
    """
    problem = "aws_conn_id: it cannot make a token for the database"
    with explained(
        lambda error, _: ConfigError(f"{problem} ({error})"),
        lambda error: StateUnavailable(f"{problem} now ({error})"),
    ):
        token: str = session.client("rds").generate_db_auth_token(host, port, login)
        return token
