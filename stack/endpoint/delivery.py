"""Send a scripted response: complete, broken, or not at all."""

from collections.abc import Callable
from typing import assert_never

from stack.endpoint.connection import Connection
from stack.endpoint.script import Reply, Wire


def _nothing() -> None:
    """Do nothing after a response that nobody waits for."""


def deliver(
    connection: Connection,
    reply: Reply,
    head: bytes,
    body: bytes,
    done: Callable[[], None] = _nothing,
) -> None:
    """Send a response, or as much of it as the reply's wire lets through.

    :param done: called once, when no more will come or the client has gone
    """
    match reply.wire:
        case Wire.WHOLE:
            done()
            connection.respond(head + body)
        case Wire.HANG:
            connection.stall(b"", done)
        case Wire.FIN:
            done()
            connection.finish()
        case Wire.RST:
            done()
            connection.reset()
        case Wire.CUT:
            done()
            connection.finish(_first_part(head, body))
        case Wire.STALL:
            connection.stall(_first_part(head, body), done)
        case Wire.DRIP:
            connection.drip(head, body, reply.drip_interval, done)
        case _:
            assert_never(reply.wire)


def _first_part(head: bytes, body: bytes) -> bytes:
    """Return the head and half of the body; without a body, half of the head."""
    return head + body[: len(body) // 2] if body else head[: len(head) // 2]
