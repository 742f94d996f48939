"""Questions to AWS about live triggers: what it means that one is not answered."""

from contextlib import AbstractContextManager

from retrofill.aws.names import LAMBDA
from retrofill.aws.refusals import Refusal, explained
from retrofill.events import names_in_words, need_no_trigger
from retrofill.model.errors import ConfigError, FunctionUnavailable


def asking_for(permission: str) -> AbstractContextManager[None]:
    """Say what an error of botocore means for the person who runs the backfill.

    :raises ConfigError: the permission is missing, or AWS refuses for another reason
    :raises FunctionUnavailable: AWS gave no answer
    """

    def refused(error: Exception, refusal: Refusal) -> ConfigError:
        if refusal is Refusal.DENIED:
            return ConfigError(
                f"event: to find the live trigger, the credentials of aws_conn_id need"
                f" {permission} ({error}); grant it, or say what the function receives:"
                f" {names_in_words(need_no_trigger(LAMBDA))} need no look-up"
            )
        return ConfigError(f"event: the live trigger could not be looked up ({error})")

    return explained(
        refused,
        lambda error: FunctionUnavailable(f"the live trigger could not be looked up: {error}"),
    )
