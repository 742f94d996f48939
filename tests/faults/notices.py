"""A webhook that stores the notifications sent via Apprise."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread


@dataclass
class Notices:
    apprise_url: str = ""
    received: list[dict[str, str]] = field(default_factory=list)
    refusals: list[int] = field(default_factory=list)
    """The statuses with which the next notifications are refused; 0: no response."""

    def of(self, job: str) -> list[str]:
        """Return the titles of the notifications of a job."""
        return [one["title"] for one in self.received if f": {job} " in one["title"]]


@contextmanager
def noticing() -> Iterator[Notices]:
    notices = Notices()
    ended = Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = notices.refusals.pop(0) if notices.refusals else 204
            if not status:
                ended.wait()
                return
            if status == 204:
                notices.received.append(json.loads(body))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        notices.apprise_url = f"json://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield notices
        finally:
            ended.set()
            server.shutdown()
            thread.join()
