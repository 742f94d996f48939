"""An HTTP function in its own server, the functions-framework, with its own counts.

Every 40th request is throttled, every 50th runs and has its connection reset, and one item is
poison.
"""

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

POISON = "k00050"
TOKEN = "the function's token"  # noqa: S105
PATIENCE_S = 60

FUNCTION = """
import collections, json, socket, struct, threading
import flask, functions_framework

lock = threading.Lock()
requests = collections.Counter()
ran, succeeded, keys = collections.Counter(), collections.Counter(), {}

def events_of(request):
    if request.headers.get("ce-id"):
        return [{"id": request.headers["ce-id"], "data": request.get_json()}]
    found = json.loads(request.get_data())
    return found if isinstance(found, list) else [found]

@functions_framework.http
def function(request):
    if request.path == "/counts":
        with lock:
            return {
                "requests": requests, "ran": ran, "succeeded": succeeded,
                "keys": sorted(len(names) for names in keys.values()),
            }
    if request.headers.get("Authorization") != "Bearer the function's token":
        return "who are you?", 401
    events = events_of(request)
    names = [event["data"]["key"] for event in events]
    with lock:
        requests["all"] += 1
        number = requests["all"]
        keys.setdefault(tuple(names), set()).add(request.headers["Idempotency-Key"])
        if number % 40 == 4:
            requests["throttled"] += 1
            return "later", 429
        ran.update(names)
        if "k00050" in names:
            requests["failed"] += 1
            return {"error": "poison"}, 500
        succeeded.update(names)
        if number % 50 == 7:
            requests["unknown"] += 1
            stream = request.environ["gunicorn.socket"]
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            stream.close()
            return "lost"
        requests["succeeded"] += 1
    return {"batchItemFailures": []}
"""


@contextmanager
def function_server(directory: Path) -> Iterator[str]:
    """Serve the function; yield its address.

    :param directory: for its source and its log
    """
    source = directory / "main.py"
    source.write_text(FUNCTION)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "functions_framework", "--target", "function"]
    command += ["--source", str(source), "--host", "127.0.0.1", "--port", str(port)]
    with (directory / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: S603
    try:
        url = f"http://127.0.0.1:{port}"
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                counts(url)
                break
            except OSError:
                assert time.monotonic() < until, (directory / "log").read_text()
                assert server.poll() is None, (directory / "log").read_text()
                time.sleep(0.05)
        yield url
    finally:
        server.terminate()
        server.wait(PATIENCE_S)


def counts(url: str) -> dict[str, Any]:
    """Return the function's counts."""
    with urllib.request.urlopen(f"{url}/counts", timeout=PATIENCE_S) as answer:  # noqa: S310
        found: dict[str, Any] = json.load(answer)
    return found
