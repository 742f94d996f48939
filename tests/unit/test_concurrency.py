import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from retrofill.engine.concurrency import (
    LONGEST_PAUSE_S,
    PAUSE_S,
    RAMP_S,
    REST_CALLS,
    REST_ROUNDS,
    START,
    ConcurrencyWindow,
)


@dataclass
class Endpoint:
    """A model of an endpoint that throttles calls above its limit, and of the loop that calls it.

    Calls take ``service_s`` give or take 30 %, a refusal ``refusal_s``. A slot is free again
    ``lag_s`` after the answer left. The loop looks every few milliseconds, as the real one does.
    """

    limit: Callable[[float], int]
    service_s: float
    refusal_s: float = 0.003
    lag_s: float = 0.0
    look_s: float = 0.005
    rng: random.Random = field(default_factory=lambda: random.Random(1))  # noqa: S311

    now: float = 0.0
    under_way: list[tuple[float, bool, float]] = field(default_factory=list)
    busy_until: list[float] = field(default_factory=list)
    started_at: float = 0.0
    calls: int = 0
    refused: int = 0
    most_in_flight: int = 0

    def work(self, window: ConcurrencyWindow, calls: int) -> None:
        """Send calls as the window allows, until `calls` of them are answered."""
        self.started_at = self.now
        self.calls = self.refused = 0
        under_way, busy_until = self.under_way, self.busy_until
        while self.calls < calls:
            while busy_until and busy_until[0] <= self.now:
                heapq.heappop(busy_until)
            for _ in range(window.room(self.now)):
                window.sent()
                refused = len(busy_until) >= self.limit(self.now)
                takes_s = self.refusal_s
                if not refused:
                    takes_s = self.service_s * self.rng.uniform(0.7, 1.3)
                    heapq.heappush(busy_until, self.now + takes_s + self.lag_s)
                heapq.heappush(under_way, (self.now + takes_s, refused, self.now))
            self.most_in_flight = max(self.most_in_flight, window.in_flight)
            if under_way:
                self.now = max(self.now, under_way[0][0])
            self.now += self.look_s * self.rng.random()
            while under_way and under_way[0][0] <= self.now:
                _, refused, sent_at = heapq.heappop(under_way)
                window.ended(throttled=refused, sent_at=sent_at, now=self.now)
                self.refused += refused
                self.calls += not refused

    @property
    def refused_share(self) -> float:
        return self.refused / (self.refused + self.calls)

    @property
    def rate(self) -> float:
        return self.calls / (self.now - self.started_at)

    def best_rate(self, concurrency: int) -> float:
        """Return the rate of this many concurrent calls, each waiting for a look of the loop."""
        return concurrency / (self.service_s + self.look_s / 2)


def window(ceiling: int) -> ConcurrencyWindow:
    return ConcurrencyWindow(ceiling, now=0.0)


@pytest.mark.parametrize("ceiling", [50, 200, 1_000])
@pytest.mark.parametrize(
    ("limit", "service_s", "calls"),
    [(30, 0.05, 3_000), (30, 0.05, 20_000), (30, 1.0, 3_000), (5, 0.05, 2_000)],
)
def test_under_a_limit_few_calls_are_refused_at_nearly_the_best_rate(
    limit, service_s, calls, ceiling
):
    endpoint = Endpoint(lambda _: limit, service_s)
    endpoint.work(window(ceiling), calls)
    assert endpoint.refused_share < 0.05
    assert endpoint.rate > 0.9 * endpoint.best_rate(limit)


def test_slots_that_are_freed_late_cost_little():
    endpoint = Endpoint(lambda _: 30, 0.05, lag_s=0.002)
    endpoint.work(window(200), 5_000)
    assert endpoint.refused_share < 0.03
    assert endpoint.rate > 0.8 * endpoint.best_rate(30)


def test_calls_of_a_minute_are_held_under_a_limit():
    endpoint = Endpoint(lambda _: 30, 60.0)
    endpoint.work(window(200), 600)
    assert endpoint.refused_share < 0.05
    assert endpoint.rate > 0.7 * endpoint.best_rate(30)


def test_without_a_limit_the_ceiling_is_reached_and_kept():
    endpoint = Endpoint(lambda _: 10**6, 0.05)
    one = window(200)
    endpoint.work(one, 20_000)
    assert endpoint.refused == 0
    assert endpoint.most_in_flight == one.size == 200
    assert endpoint.rate > 0.9 * endpoint.best_rate(200)


def test_the_ceiling_is_reached_within_seconds_however_long_a_call_takes():
    one = window(1_000)
    now = 0.0
    while one.size < 1_000:
        one.sent(one.room(now))
        now += RAMP_S
    assert now <= 10 * RAMP_S


def test_a_limit_that_falls_is_followed():
    endpoint = Endpoint(lambda now: 200 if now < 5 else 30, 0.05)
    one = window(300)
    endpoint.work(one, 15_000)
    endpoint.work(one, 5_000)
    assert endpoint.refused_share < 0.03
    assert endpoint.rate > 0.85 * endpoint.best_rate(30)


def test_a_limit_that_rises_is_found_again():
    endpoint = Endpoint(lambda now: 30 if now < 5 else 200, 0.05)
    one = window(300)
    endpoint.work(one, 20_000)
    endpoint.work(one, 5_000)
    assert endpoint.refused_share < 0.03
    assert endpoint.rate > 0.85 * endpoint.best_rate(200)


def test_the_ceiling_holds_while_it_is_changed():
    endpoint = Endpoint(lambda _: 10**6, 0.05)
    one = window(50)
    endpoint.work(one, 2_000)
    assert endpoint.most_in_flight == 50
    one.ceiling = 20
    assert one.room(endpoint.now) == 0
    while one.in_flight > 20:
        one.ended(throttled=False, sent_at=endpoint.now, now=endpoint.now)
        assert one.room(endpoint.now) == 0 or one.in_flight < 20
    one.ended(throttled=False, sent_at=endpoint.now, now=endpoint.now)
    assert one.room(endpoint.now) == 1
    one.ceiling = 50
    assert one.size == 50


def test_a_ceiling_of_zero_holds_all_calls_back():
    one = window(0)
    assert one.room(0.0) == one.room(100.0) == 0
    one.ceiling = 3
    assert one.room(100.0) == 3


def end(one: ConcurrencyWindow, calls: int, now: float, *, throttled: bool = False) -> None:
    for _ in range(calls):
        one.ended(throttled=throttled, sent_at=now, now=now)


def fill(one: ConcurrencyWindow, now: float) -> int:
    room = one.room(now)
    one.sent(room)
    return room


def test_it_doubles_until_the_first_refusal_then_takes_a_tenth():
    one = window(1_000)
    for width in (START, 2 * START, 4 * START):
        assert one.size == width
        fill(one, 0.0)
        end(one, width, 0.0)
    fill(one, 0.0)
    end(one, 1, 0.0, throttled=True)
    assert one.size == 72


@pytest.mark.parametrize(("refused", "width"), [(1, 18), (2, 18), (5, 15), (12, 8), (20, 1)])
def test_after_refusals_the_window_is_as_wide_as_the_accepted_calls(refused: int, width: int):
    one = window(100)
    fill(one, 0.0)
    end(one, START, 0.0)
    sent = fill(one, 1.0)
    for _ in range(refused):
        one.ended(throttled=True, sent_at=1.0, now=2.0)
    assert one.size == width
    for _ in range(sent - refused):
        one.ended(throttled=False, sent_at=1.0, now=2.1)
    assert one.size == width


def test_a_fully_refused_window_probes_after_a_pause_that_doubles():
    one = window(100)
    one.sent()
    now, pauses = 0.0, []
    for _ in range(7):
        one.ended(throttled=True, sent_at=now, now=now)
        assert one.room(now) == 0
        later = now + 0.001
        while not one.room(later):
            later += 0.001
        pauses.append(round(later - now, 2))
        now = later
        one.sent()
    assert pauses == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    one.ended(throttled=False, sent_at=now, now=now)
    one.sent()
    one.ended(throttled=True, sent_at=now, now=now)
    assert one.room(now + PAUSE_S) == 1


def test_a_window_takes_over_its_part_of_what_all_have_found():
    one = refused_at_20()
    one.agree(5, 4)
    assert one.size == one.width == 5
    widths = [round_of(one, 3.0) for _ in range(8 * REST_ROUNDS)]
    assert widths[4 * REST_ROUNDS - 10] == widths[0], "with n windows, each probes 1/n as often"
    one.agree(12, 3)
    assert one.size == 12


def test_before_its_first_call_a_window_considers_how_many_windows_there_are():
    one = window(1_000)
    one.agree(None, 4)
    assert one.size == START // 4
    assert one.width is None


def round_of(one: ConcurrencyWindow, now: float) -> int:
    """Fill the window, let all calls succeed, and return the new width."""
    fill(one, now)
    end(one, one.in_flight, now)
    return one.size


def refused_at_20() -> ConcurrencyWindow:
    """Return a window that was throttled at a width of 20 and is now 10 wide."""
    one = window(1_000)
    assert round_of(one, 0.0) == 20
    fill(one, 1.0)
    one.ended(throttled=True, sent_at=1.0, now=2.0)
    for _ in range(19):
        one.ended(throttled=False, sent_at=1.0, now=2.5)
    return one


def test_it_comes_back_to_just_under_the_width_that_was_refused_and_rests_there():
    one = refused_at_20()
    widths = [round_of(one, 3.0) for _ in range(REST_ROUNDS - 1)]
    assert widths == sorted(widths)
    assert widths[-1] == 19


def test_after_the_rest_it_probes_by_steps_that_double():
    one = refused_at_20()
    widths = [round_of(one, 3.0) for _ in range(REST_ROUNDS + 3)]
    assert widths[-5:] == [19, 20, 22, 26, 34]


def test_at_rest_a_refusal_takes_a_tenth_and_another_one_half():
    one = refused_at_20()
    while round_of(one, 3.0) < 19:
        pass
    fill(one, 4.0)
    one.ended(throttled=True, sent_at=4.0, now=5.0)
    assert one.size == 17
    one.ended(throttled=True, sent_at=6.0, now=6.0)
    assert one.size == 8


def test_a_small_window_rests_for_many_calls():
    one = window(1)
    one.sent()
    one.ended(throttled=True, sent_at=0.0, now=0.0)
    one.ceiling = 100
    for _ in range(REST_CALLS - 1):
        one.sent(one.room(1.0))
        one.ended(throttled=False, sent_at=1.0, now=1.0)
    assert one.size == 1
    one.sent(one.room(1.0))
    one.ended(throttled=False, sent_at=1.0, now=1.0)
    assert one.size == 2


def test_a_window_that_is_not_filled_does_not_grow():
    one = window(100)
    for _ in range(500):
        one.sent(2)
        end(one, 2, 50.0)
    assert one.size == START


def test_it_never_closes():
    one = window(100)
    for now in range(50):
        one.sent()
        one.ended(throttled=True, sent_at=now, now=now)
        assert one.room(now + LONGEST_PAUSE_S) >= 1
