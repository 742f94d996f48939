"""Fronts between a client and Postgres: a pooler with default settings, and TLS.

Formats: https://www.postgresql.org/docs/current/protocol-message-formats.html.
"""

import os
import queue
import select
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import psycopg2
from psycopg2.extensions import make_dsn, parse_dsn

_TLS, _GSS = 80877103, 80877104
_TRACKED = {
    "application_name", "client_encoding", "database", "datestyle", "standard_conforming_strings",
    "timezone", "user",
}  # fmt: skip
"""The startup parameters of PgBouncer: https://www.pgbouncer.org/config.html."""

_REPORTED = (
    "server_version", "server_encoding", "client_encoding", "DateStyle", "TimeZone",
    "integer_datetimes", "standard_conforming_strings",
)  # fmt: skip


class Front:
    """Listens in front of a server; each client has its own thread."""

    def __init__(self, dsn: str) -> None:
        self._server = parse_dsn(dsn)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._clients: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def dsn(self) -> str:
        """The address to which its clients connect."""
        host, port = self._listener.getsockname()
        return make_dsn(**{**self._server, "host": host, "port": port})

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for client in self._clients:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def serve(self, client: socket.socket) -> None:
        """Serve one client to its end."""
        raise NotImplementedError

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._clients.append(client)
                thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError, EOFError), client:
            self.serve(client)


class Pooler(Front):
    """Gives each transaction of a client the server connection that was idle longest.

    :param refusal: its error for a startup parameter that it does not accept
    """

    def __init__(self, dsn: str, refusal: str = "unsupported startup parameter: {name}") -> None:
        self.transactions = 0
        self._refusal = refusal
        self._own = [psycopg2.connect(dsn) for _ in range(3)]
        self._idle: queue.Queue[socket.socket] = queue.Queue()
        for own in self._own:
            resting = socket.socket(fileno=os.dup(own.fileno()))
            resting.settimeout(None)
            self._idle.put(resting)
        super().__init__(dsn)

    def close(self) -> None:
        super().close()
        while not self._idle.empty():
            self._idle.get().close()
        for own in self._own:
            own.close()

    def serve(self, client: socket.socket) -> None:
        while (start := _start(client))[:4] in {struct.pack("!I", _TLS), struct.pack("!I", _GSS)}:
            client.sendall(b"N")
        for name in start[4:].rstrip(b"\0").split(b"\0")[::2]:
            if name.decode().lower() not in _TRACKED:
                client.sendall(_error(self._refusal.format(name=name.decode())))
                return
        client.sendall(_message(b"R", struct.pack("!I", 0)) + self._parameters())
        client.sendall(_message(b"K", struct.pack("!II", 1, 1)) + _message(b"Z", b"I"))
        while self._pass_on_a_transaction(client):
            self.transactions += 1

    def _parameters(self) -> bytes:
        known = self._own[0].info
        reported = [f"{name}\0{known.parameter_status(name)}\0".encode() for name in _REPORTED]
        return b"".join(_message(b"S", each) for each in reported)

    def _pass_on_a_transaction(self, client: socket.socket) -> bool:
        """Connect a client and a server until the server is outside a transaction."""
        said = client.recv(65_536)
        if not said or said[:1] == b"X":
            return False
        server = self._idle.get()
        server.sendall(said)
        while True:
            ready, _, _ = select.select([client, server], [], [])
            if client in ready:
                said = client.recv(65_536)
                if not said:
                    raise EOFError
                server.sendall(said)
            if server in ready:
                head = _read(server, 5)
                body = _read(server, struct.unpack("!I", head[1:])[0] - 4)
                client.sendall(head + body)
                if (head[:1], body) == (b"Z", b"I"):
                    self._idle.put(server)
                    return True


class TlsFront(Front):
    """Accepts only TLS, like a server with only ``hostssl`` in its pg_hba.conf.

    :param certificate: with its key
    """

    def __init__(self, dsn: str, certificate: Path) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        super().__init__(dsn)

    def serve(self, client: socket.socket) -> None:
        while (asked := _start(client)[:4]) == struct.pack("!I", _GSS):
            client.sendall(b"N")
        if asked != struct.pack("!I", _TLS):
            client.sendall(_error('no pg_hba.conf entry for host "127.0.0.1", no encryption'))
            return
        client.sendall(b"S")
        place = (self._server["host"], int(self._server["port"]))
        with (
            self._context.wrap_socket(client, server_side=True) as secured,
            socket.create_connection(place) as server,
        ):
            back = threading.Thread(target=_pump, args=(server, secured), daemon=True)
            back.start()
            _pump(secured, server)
            back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while said := source.recv(65_536):
            sink.sendall(said)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def _start(client: socket.socket) -> bytes:
    """Read a startup message; these come first and have no kind."""
    return _read(client, struct.unpack("!I", _read(client, 4))[0] - 4)


def _error(text: str) -> bytes:
    return _message(b"E", f"SFATAL\0C28000\0M{text}\0\0".encode())


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


def _read(source: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = source.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data


AnyFront = TypeVar("AnyFront", bound=Front)


@contextmanager
def before(dsn: str, kind: type[AnyFront], *how: Any) -> Iterator[AnyFront]:
    """Put a front before the server of an address."""
    with closing(kind(dsn, *how)) as opened:
        yield opened
