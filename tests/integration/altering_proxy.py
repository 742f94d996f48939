"""A pooler with a mind of its own: a proxy before Postgres that changes bytes on their way."""

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class AlteringProxy:
    """What is replaced in what passes, by bytes of the same length; may be changed at any time."""

    dsn: str = ""
    asked: dict[bytes, bytes] = field(default_factory=dict)
    """In what clients ask."""

    answered: dict[bytes, bytes] = field(default_factory=dict)
    """In what the server answers."""

    def pass_on(self, source: socket.socket, sink: socket.socket, *, asked: bool) -> None:
        with suppress(OSError):
            while chunk := source.recv(65_536):
                for old, new in (self.asked if asked else self.answered).items():
                    chunk = chunk.replace(old, new)
                sink.sendall(chunk)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def altering(
    dsn: str,
    *,
    asked: Mapping[bytes, bytes] | None = None,
    answered: Mapping[bytes, bytes] | None = None,
) -> Iterator[AlteringProxy]:
    """Stand between clients and the server of a URI."""
    proxy = AlteringProxy(asked=dict(asked or {}), answered=dict(answered or {}))
    assert all(len(old) == len(new) for old, new in [*proxy.asked.items(), *proxy.answered.items()])
    server = urlsplit(dsn)
    threads: list[threading.Thread] = []
    sockets: list[socket.socket] = []

    def start(source: socket.socket, sink: socket.socket, *, asked: bool) -> None:
        thread = threading.Thread(
            target=proxy.pass_on, args=(source, sink), kwargs={"asked": asked}
        )
        threads.append(thread)
        thread.start()

    def accept(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                upstream = socket.create_connection((server.hostname, server.port))
                sockets.extend((client, upstream))
                start(client, upstream, asked=True)
                start(upstream, client, asked=False)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        proxy.dsn = dsn.replace(f":{server.port}/", f":{port}/") + "?sslmode=disable"
        accepting = threading.Thread(target=accept, args=(listener,))
        accepting.start()
        try:
            yield proxy
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for one in sockets:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()
            for one in sockets:
                one.close()
