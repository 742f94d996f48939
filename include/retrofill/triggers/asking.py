"""Requests to AWS about live triggers, and what their errors mean."""

from contextlib import AbstractContextManager
from typing import Any

from retrofill.aws.names import LAMBDA
from retrofill.aws.refusals import Refusal, explained
from retrofill.events import names_in_words, need_no_trigger
from retrofill.model.errors import ConfigError, FunctionUnavailable


def asking_for(permission: str) -> AbstractContextManager[None]:
    """Translate botocore's errors for the user of the backfill.

    :raises ConfigError: the permission is missing, or AWS refuses for another reason
    :raises FunctionUnavailable: AWS did not answer
    """

    def refused(error: Exception, refusal: Refusal) -> ConfigError:
        if refusal is Refusal.DENIED:
            return ConfigError(
                f"event: to find the live trigger, the credentials of aws_conn_id need"
                f" {permission} ({error}); grant it, or give the event that the function receives:"
                f" {names_in_words(need_no_trigger(LAMBDA))} need no look-up"
            )
        return ConfigError(f"event: the live trigger could not be looked up ({error})")

    return explained(
        refused,
        lambda error: FunctionUnavailable(f"the live trigger could not be looked up: {error}"),
    )


def list_all(client: Any, operation: str, **arguments: str) -> list[dict[str, Any]]:
    """Return all pages of an AWS listing.

    :param client: a botocore client
    :param operation: the name of a method with a botocore paginator
    :raises ConfigError: see :func:`asking_for`
    :raises FunctionUnavailable: see :func:`asking_for`
    """
    meta = client.meta
    with asking_for(f"{meta.service_model.service_name}:{meta.method_to_api_mapping[operation]}"):
        paginator = client.get_paginator(operation)
        (listed,) = paginator.result_keys
        found = paginator.paginate(**arguments).search(f"{listed.expression}[]")
        return [dict(one) for one in found]
