"""Send a scripted response: complete, broken, or not at all."""

from collections.abc import Callable
from typing import assert_never

from stack.endpoint.connection import Connection
from stack.endpoint.script import Reply, Wire


def deliver(
    connection: Connection,
    reply: Reply,
    head: bytes,
    body: bytes,
    done: Callable[[], None] = lambda: None,
) -> None:
    """Send a response, or as much of it as the reply's wire allows.

    :param done: called once, when no more will come or the client has left
    """
    # Without a body, half of the head.
    part = head + body[: len(body) // 2] if body else head[: len(head) // 2]
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
            connection.finish(part)
        case Wire.STALL:
            connection.stall(part, done)
        case Wire.DRIP:
            connection.drip(head, body, reply.drip_interval, done)
        case _:
            assert_never(reply.wire)
