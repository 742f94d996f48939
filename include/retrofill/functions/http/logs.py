"""Link to the log of a call, by a template in the connection."""

import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlsplit

from retrofill.functions.kind import Called
from retrofill.model.errors import ConfigError
from retrofill.model.function import Pinned
from retrofill.model.quoting import quoted

LOG_URL = "log_url"
"""The fact with the template."""

PLACES = ("request_id", "sent_at", "ended_at", "sent_ms", "ended_ms")
"""The placeholders of a template; times are ISO 8601 in UTC, or ms since 1970."""

_PLACE = re.compile(rf"{{({'|'.join(PLACES)})}}")
_BLANK = re.compile(r"\s")


def template(where: str, text: Any) -> str:
    """Return the template in the extra of a connection.

    :param where: the field and the connection, for messages
    :raises ConfigError: it is not an address, or has no placeholder
    """
    if text == "":
        return ""
    if not isinstance(text, str) or not _fits(text):
        raise ConfigError(
            f"{where} has log_url {quoted(text)}; give an http or https address with at least one"
            f" of {', '.join(f'{{{place}}}' for place in PLACES)} in it"
        )
    return text


def _fits(text: str) -> bool:
    web = urlsplit(text).scheme in {"http", "https"}
    return web and not _BLANK.search(text) and _PLACE.search(text) is not None


def log_link(function: Pinned, call: Called) -> str | None:
    """Return the link to a call's log; None: there is no template, or no request id."""
    text = str(function.facts.get(LOG_URL, ""))
    if not text or ("{request_id}" in text and not call.request_id):
        return None
    ended_at = call.ended_at or datetime.now(UTC)
    known = {
        "request_id": call.request_id,
        "sent_at": call.sent_at.astimezone(UTC).isoformat(),
        "ended_at": ended_at.astimezone(UTC).isoformat(),
        "sent_ms": str(int(call.sent_at.timestamp() * 1_000)),
        "ended_ms": str(int(ended_at.timestamp() * 1_000) + 1),
    }
    return _PLACE.sub(lambda place: quote(known[place[1]], safe=""), text)
