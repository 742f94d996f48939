"""How long to wait before a call is repeated."""

BASE_S = 0.5
"""The longest wait after the first refusal, in seconds."""

CAP_S = 60.0
"""The longest wait after many refusals, in seconds."""

RETRY_AFTER_CAP_S = 900.0
"""The longest wait that a response can request, in seconds: the longest time that calls run."""

_MANY_DOUBLINGS = 30


def backoff_s(attempt: int, random: float, retry_after_s: float | None) -> float:
    """Return the seconds to wait: exponential with full jitter, after the requested wait.

    Without ``retry_after_s`` the wait is uniform between 0 and ``BASE_S * 2 ** (attempt - 1)``, at
    most ``CAP_S``. With it, the wait is never shorter than requested. The jitter is added to it, so
    that calls refused together are not repeated together.

    :param attempt: how many times in a row the call was refused, from 1
    :param random: a random number in [0, 1)
    :param retry_after_s: seconds that the refusal requested; None: none
    """
    doublings = min(max(attempt, 1) - 1, _MANY_DOUBLINGS)
    jitter_s = random * min(CAP_S, BASE_S * 2.0**doublings)
    return min(max(retry_after_s or 0.0, 0.0), RETRY_AFTER_CAP_S) + jitter_s
