"""Send requests to one HTTP endpoint, each as one exchange, without waiting for responses.

It uses awscrt, AWS's C client. A connection carries one request at a time. Connections are kept,
and opened as needed. Nothing here retries: the sender counts every request.
"""

import io
import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from threading import Event, Lock, Thread
from time import monotonic

from awscrt.http import HttpClientConnection, HttpHeaders, HttpRequest

from retrofill.functions.client import NoReply, Payload, Reply
from retrofill.functions.transport.endpoint import Endpoint, connector
from retrofill.functions.transport.exchange import Exchange, in_a_line
from retrofill.model.errors import ConfigError

Sign = Callable[[HttpRequest, bytes], None]
"""Completes the headers of a request with this body. It may raise any error of a credentials
provider; then nothing is sent."""

CONNECT_S = 40.0
"""Seconds for a whole connection: TCP, proxy and TLS. Less would hide why a TLS handshake failed:
awscrt reports that only after 10 to 30 seconds, so that its duration reveals nothing."""

IDLE_S = 4.0
"""Seconds that a kept connection may be idle before it is closed. Servers close idle ones after 5
seconds or more, and a request that meets such a close is lost without a response."""

CLOSE_S = 2.0
"""Seconds that ``close`` waits for awscrt's own threads."""

DEADLINE_MARGIN_S = 30.0
"""Seconds that a call may take beyond the function's timeout before it is abandoned."""

MOST_IN_FLIGHT = 10_000
"""The upper limit of ``max_concurrency``, even if it is raised during a run."""

_LOOK_S = 1.0


class HttpClient:
    """Sends requests to one endpoint, and queues their completions.

    Create it in the process that uses it: its threads do not survive a fork. One thread sends; any
    thread may read :attr:`completions`.

    :param endpoint: where requests go
    :param path: path and query of every request, percent-encoded
    :param headers: header fields of every request, in addition to host, content type and length
    :param headers_of: returns further header fields of a request, from its payload
    :param sign: called with each request before it is sent; None: nothing to add
    :param deadline_s: seconds from :meth:`send` to the last byte of the response, after which the
        call is abandoned and its connection closed; more than the function's timeout
    :param max_in_flight: the most requests at once, which is the most connections
    :param verify: see :func:`.endpoint.connector`
    :param proxy_url: see :func:`.endpoint.connector`
    :raises ConfigError: endpoint, proxy, certificates or a number cannot be used
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        path: str,
        headers: Sequence[tuple[str, str]] = (),
        method: str = "POST",
        headers_of: Callable[[Payload], Sequence[tuple[str, str]]] = lambda _: (),
        sign: Sign | None = None,
        deadline_s: float,
        max_in_flight: int,
        verify: bool | str = True,
        proxy_url: str | None = None,
    ) -> None:
        if not (deadline_s > 0 and math.isfinite(deadline_s)):
            raise ConfigError(f"deadline_s: {deadline_s} is not allowed; give seconds above 0")
        if max_in_flight < 1:
            raise ConfigError(f"max_in_flight: {max_in_flight} is not allowed; give 1 or more")
        connect, self._loops_ended = connector(endpoint, verify=verify, proxy_url=proxy_url)
        self._new_connection: Callable[[], Future[HttpClientConnection]] | None = connect

        self.completions: SimpleQueue[Reply | NoReply] = SimpleQueue()
        """One :class:`Reply` or :class:`NoReply` for each :meth:`send`, in the order they end."""

        self._method = method
        self._path = path
        self._headers = [("Host", endpoint.authority), ("User-Agent", "retrofill"), *headers]
        self._headers_of = headers_of
        self._sign = sign
        self._deadline_s = deadline_s
        self._max_in_flight = max_in_flight

        self._lock = Lock()
        self._closed = False
        self._open: dict[Exchange, None] = {}  # in the order sent, so in that of the deadlines
        self._waiting: deque[Exchange] = deque()  # open, without a connection
        self._connecting: dict[object, float] = {}  # attempt -> when it began
        self._idle: deque[tuple[HttpClientConnection, float]] = deque()  # last used last

        self._stop = Event()
        self._watcher = Thread(target=self._watch, name="retrofill-deadlines", daemon=True)
        self._watcher.start()

    def send(self, tag: int, payload: Payload) -> None:
        """Send one request, and return at once.

        It leads to exactly one entry of :attr:`completions` with this tag. Only expired credentials
        delay it, for as long as their renewal takes.

        :param tag: a number that identifies the request to the sender; need not be unique
        :raises RuntimeError: the client is closed, or ``max_in_flight`` requests are open
        """
        body = payload.body
        stream = io.BytesIO(body)
        headers = HttpHeaders(
            [
                *self._headers,
                ("Content-Type", payload.content_type),
                *payload.headers,
                *self._headers_of(payload),
                ("Content-Length", str(len(body))),
            ]
        )
        request = HttpRequest(self._method, self._path, headers, stream)
        if self._sign is not None:
            try:
                self._sign(request, body)
            except Exception as error:  # noqa: BLE001  whatever a credentials provider raises
                why = f"not signed: {in_a_line(error)}"
                self.completions.put(NoReply(tag, sent=False, error=why))
                return
        exchange = Exchange(tag, request, stream, len(body))
        attempts: list[object] = []
        with self._lock:
            if self._closed:
                raise RuntimeError("the client is closed")
            if len(self._open) >= self._max_in_flight:
                raise RuntimeError(f"{self._max_in_flight} requests are open, the most allowed")
            now = monotonic()
            exchange.deadline = now + self._deadline_s
            connection = exchange.connection = self._pop_idle(now)
            self._open[exchange] = None
            if connection is None:
                self._waiting.append(exchange)
                attempts = [object() for _ in range(len(self._waiting) - len(self._connecting))]
                self._connecting.update(dict.fromkeys(attempts, now))
            connect = self._new_connection
        if connection is not None:
            self._start(exchange, connection)
        for attempt in attempts:
            if connect is not None:
                connect().add_done_callback(partial(self._connected, attempt))

    def close(self) -> None:
        """End everything. Open requests complete without a reply."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            exchanges = list(self._open)
            idle = [connection for connection, _ in self._idle]
            for collection in (self._open, self._waiting, self._connecting, self._idle):
                collection.clear()
            self._new_connection = None
        self._stop.set()
        self._watcher.join()
        while idle:
            idle.pop().close()
        while exchanges:
            self._give_up(exchanges.pop(), "the client was closed")
        self._loops_ended.wait(CLOSE_S)

    def _pop_idle(self, now: float) -> HttpClientConnection | None:
        """Return the connection that was used last, if it is fresh. Call under the lock."""
        while self._idle:
            connection, since = self._idle.pop()
            if connection.is_open() and now - since < IDLE_S:
                return connection
            connection.close()
        return None

    def _connected(self, attempt: object, future: "Future[HttpClientConnection]") -> None:
        """Give a new connection to the oldest waiting exchange, or report that there is none."""
        error = future.exception()
        connection = None if error else future.result()
        exchange = None
        with self._lock:
            expected = self._connecting.pop(attempt, None) is not None
            if expected and connection is not None:
                exchange = self._hand_over(connection)
            elif expected and len(self._waiting) > len(self._connecting):
                exchange = self._waiting.popleft()
                del self._open[exchange]
        if connection is None:
            if exchange is not None:
                self.completions.put(NoReply(exchange.tag, sent=False, error=in_a_line(error)))
        elif exchange is not None:
            self._start(exchange, connection)
        elif not expected:
            connection.close()

    def _hand_over(self, connection: HttpClientConnection) -> Exchange | None:
        """Return the exchange that gets a connection; None: it was kept. Call under the lock."""
        if not self._waiting:
            self._idle.append((connection, monotonic()))
            return None
        exchange = self._waiting.popleft()
        exchange.connection = connection
        return exchange

    def _start(self, exchange: Exchange, connection: HttpClientConnection) -> None:
        exchange.began = monotonic()
        try:
            stream = connection.request(exchange.request, exchange.on_response, exchange.on_body)
            stream.completion_future.add_done_callback(partial(self._ended, exchange, connection))
            stream.activate()
        except Exception as error:  # noqa: BLE001  the connection was closed just now
            connection.close()
            with self._lock:
                ours = self._take(exchange)
            if ours:
                self.completions.put(NoReply(exchange.tag, sent=False, error=in_a_line(error)))

    def _ended(
        self, exchange: Exchange, connection: HttpClientConnection, future: "Future[int]"
    ) -> None:
        error = future.exception()
        try:
            completion = exchange.completion(error)
        except Exception as unforeseen:  # noqa: BLE001  nothing above would see it
            completion = NoReply(exchange.tag, sent=True, error=in_a_line(unforeseen))
        following = None
        with self._lock:
            ours = self._take(exchange)
            reusable = error is None and not self._closed and connection.is_open()
            if reusable:
                following = self._hand_over(connection)
        if not reusable:
            connection.close()
        if ours:
            self.completions.put(completion)
        if following is not None:
            self._start(following, connection)

    def _take(self, exchange: Exchange) -> bool:
        """Take an exchange out of the open ones; False: another did, and completes it."""
        if exchange not in self._open:
            return False
        del self._open[exchange]
        return True

    def _watch(self) -> None:
        """Abandon exchanges that take too long, until the client is closed."""
        pause_s = 0.0
        while not self._stop.wait(pause_s):
            now = monotonic()
            with self._lock:
                late = [*self._overdue(now), *self._unconnected(now)]
                while self._idle and now - self._idle[0][1] >= IDLE_S:
                    self._idle.popleft()[0].close()
                # Requests sent from now on are not late before ``deadline_s`` from now.
                next_late = next((e.deadline for e in self._open), math.inf)
            for exchange, why in late:
                self._give_up(exchange, why)
            late.clear()
            pause_s = max(0.0, min(next_late - now, self._deadline_s, _LOOK_S))

    def _overdue(self, now: float) -> Iterable[tuple[Exchange, str]]:
        """Remove the open exchanges whose deadline has passed. Call under the lock."""
        while self._open:
            exchange = next(iter(self._open))
            if exchange.deadline > now:
                return
            del self._open[exchange]
            if exchange.connection is None:
                self._waiting.remove(exchange)
            yield exchange, f"no complete response within {self._deadline_s:g} s"

    def _unconnected(self, now: float) -> Iterable[tuple[Exchange, str]]:
        """Drop slow attempts to connect, with their exchanges. Call under the lock."""
        for attempt, began in list(self._connecting.items()):
            if began + CONNECT_S > now:
                return
            del self._connecting[attempt]
            if len(self._waiting) > len(self._connecting):
                exchange = self._waiting.popleft()
                del self._open[exchange]
                yield exchange, f"no connection within {CONNECT_S:g} s"

    def _give_up(self, exchange: Exchange, why: str) -> None:
        """Complete an exchange that is no longer open; with a connection, it may have been sent."""
        connection = exchange.connection
        if connection is not None:
            connection.close()
        self.completions.put(NoReply(exchange.tag, sent=connection is not None, error=why))
