"""A TCP proxy that disturbs its connections: slow, sliced, silent, cut, refused or altered."""

import asyncio
import contextlib
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Thread
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

_PIECE = 65_536


@dataclass
class Toxics:
    """The current faults; they may change while connections are open."""

    latency_s: float = 0.0
    """The delay of each piece, in either direction."""
    most_bytes: int = _PIECE
    """The maximum number of bytes passed on at once."""
    cut_after: tuple[int, int] | None = None
    """Each connection is reset after a random number of its client's bytes, between the two."""
    silent: bool = False
    """Whether nothing is passed on, while connections stay open and new ones are accepted."""
    refusing: bool = False
    """Whether new connections are reset at once."""
    asked: dict[bytes, bytes] = field(default_factory=dict)
    """Replacements in what clients send, each by bytes of the same length."""
    answered: dict[bytes, bytes] = field(default_factory=dict)
    """Replacements in what the server sends, likewise."""


class FaultProxy:
    """A proxy before a server on 127.0.0.1; it runs in its own thread."""

    def __init__(self, port: int, *, seed: int = 0, listen: int = 0) -> None:
        self.toxics = Toxics()
        self.connections = 0
        """Accepted connections."""
        self.cuts = 0
        """Cut connections."""
        self._target = port
        self._rng = random.Random(seed)  # noqa: S311  for tests
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._listener = socket.create_server(("127.0.0.1", listen))
        self.port: int = self._listener.getsockname()[1]
        self._thread = Thread(target=self._serve, name="fault-proxy", daemon=True)
        self._thread.start()

    def before(self, url: str) -> str:
        """Return the address of the server behind the proxy, via the proxy."""
        parts = urlsplit(url)
        login, at, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{login}{at}127.0.0.1:{self.port}"))

    def cut(self) -> None:
        """Reset all open connections."""
        asyncio.run_coroutine_threadsafe(self._cut_all(), self._loop).result()

    def close(self) -> None:
        """End it, and all connections."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._take, sock=self._listener)
        )
        self._loop.run_forever()
        server.close()
        for writer in self._writers:
            writer.transport.abort()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    async def _cut_all(self) -> None:
        for writer in list(self._writers):
            self._reset(writer)

    def _reset(self, writer: asyncio.StreamWriter) -> None:
        self.cuts += 1
        writer.transport.abort()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self.toxics.refusing:
            self._reset(writer)
            return
        there, to_there = await asyncio.open_connection("127.0.0.1", self._target)
        ends = {writer, to_there}
        self._writers |= ends
        limit = self._rng.randint(*self.toxics.cut_after) if self.toxics.cut_after else None
        ways = [
            asyncio.ensure_future(self._pass_on(reader, to_there, limit, "asked")),
            asyncio.ensure_future(self._pass_on(there, writer, None, "answered")),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            for end in ends:
                end.transport.abort()
            self._writers -= ends

    async def _pass_on(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        limit: int | None,
        direction: Literal["asked", "answered"],
    ) -> None:
        passed = 0
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(_PIECE):
                replaced: dict[bytes, bytes] = getattr(self.toxics, direction)
                for old, new in replaced.items():
                    data = data.replace(old, new)
                while data:
                    while self.toxics.silent:  # noqa: ASYNC110  set by another thread
                        await asyncio.sleep(0.02)
                    if self.toxics.latency_s:
                        await asyncio.sleep(self.toxics.latency_s)
                    most = self.toxics.most_bytes
                    if limit is not None:
                        most = min(most, limit - passed)
                    piece, data = data[:most], data[most:]
                    writer.write(piece)
                    await writer.drain()
                    passed += len(piece)
                    if limit is not None and passed >= limit:
                        self.cuts += 1
                        return
            # Data sent before a clean end must arrive.
            await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()
                await asyncio.sleep(0.05)


@contextmanager
def fault_proxy(url: str, *, seed: int = 0, listen: int = 0) -> Iterator[FaultProxy]:
    """Run a proxy before the server that a URL names.

    :param listen: its port; 0: a free one
    """
    port = urlsplit(url).port
    assert port is not None
    proxy = FaultProxy(port, seed=seed, listen=listen)
    try:
        yield proxy
    finally:
        proxy.close()
