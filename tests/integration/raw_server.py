"""Servers that the scripted endpoint does not cover: raw responses, and a proxy."""

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import closing
from typing import NamedTuple, Self


class Request(NamedTuple):
    line: str
    headers: dict[str, str]
    body: bytes


class RawServer:
    """Answers each request with the bytes that a function returns; None closes the connection."""

    def __init__(
        self, answer: Callable[[Request], bytes | None], context: ssl.SSLContext | None = None
    ) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self._answer = answer
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.port = self._listener.getsockname()[1]
        self.url = f"http{'s' if context else ''}://127.0.0.1:{self.port}"
        self._accepted: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for accepted in self._accepted:
            with closing(accepted):
                try:
                    accepted.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._accepted.append(accepted)
            thread = threading.Thread(target=self._serve, args=(accepted,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, accepted: socket.socket) -> None:
        try:
            if self._context is not None:
                secured = self._context.wrap_socket(
                    accepted, server_side=True, do_handshake_on_connect=False
                )
                self._accepted.append(secured)
                secured.do_handshake()
                accepted = secured
            with accepted:
                while (request := self._read(accepted)) is not None:
                    self.requests.append(request)
                    if not self.handle(request, accepted):
                        return
        except OSError:
            return

    def handle(self, request: Request, accepted: socket.socket) -> bool:
        answer = self._answer(request)
        if answer is None:
            return False
        accepted.sendall(answer)
        return True

    def _read(self, accepted: socket.socket) -> Request | None:
        data = b""
        while b"\r\n\r\n" not in data:
            piece = accepted.recv(65_536)
            if not piece:
                return None
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        line, *fields = head.decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (field.partition(":") for field in fields)
        }
        while len(body) < int(headers.get("content-length", "0")):
            body += accepted.recv(65_536)
        return Request(line, headers, body)


def http_answer(body: bytes = b"null", *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Proxy(RawServer):
    """A proxy that tunnels, and answers itself instead of forwarding."""

    def __init__(self, tunnel_to: int | None = None) -> None:
        super().__init__(lambda _: http_answer(b'"forwarded"'))
        self._tunnel_to = tunnel_to

    def handle(self, request: Request, accepted: socket.socket) -> bool:
        method, target, _ = request.line.split(" ")
        if method != "CONNECT":
            return super().handle(request, accepted)
        port = self._tunnel_to or int(target.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as beyond:
            accepted.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_pump, args=(beyond, accepted), daemon=True)
            back.start()
            _pump(accepted, beyond)
            back.join()
        return False


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while piece := source.recv(65_536):
            sink.sendall(piece)
        sink.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
