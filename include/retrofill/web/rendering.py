"""Rendering of all pages: the templates, their filters, and the page around each."""

import math
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined

from retrofill.aws.arn import Arn
from retrofill.model.amounts import counted, in_bytes, in_range, in_time
from retrofill.model.cost import dollars
from retrofill.model.plan import verdict
from retrofill.model.quoting import visible
from retrofill.state.pages import ERROR_CHARS
from retrofill.web import links
from retrofill.web.charts import number
from retrofill.web.words import CAUSES, OUTCOMES

REFRESH_S = 3
"""Seconds between two refreshes of an open run's page."""

RARE_REFRESH_S = 10
"""Seconds between two refreshes of other pages."""

_UNIT_SEPARATOR = "\x1f"


class Shell(NamedTuple):
    """What every page needs for its frame."""

    root: str
    """The path at which Airflow serves the pages; links start with it."""

    nonce: str
    """Marks the page's own style and script for the content security policy."""


def render(template: str, shell: Shell, *, refresh_s: int = 0, **values: Any) -> str:
    """Return the page that a template makes of some values.

    :param refresh_s: seconds until the page reads itself again; 0: never
    """
    values = {"now": datetime.now(UTC), "shell": shell, "refresh_s": refresh_s, **values}
    return _ENVIRONMENT.get_template(template).render(values)


def facts(content: str) -> str:
    """Return the beginning of an item's content, with dots between its parts."""
    parts = " · ".join(part for part in content.split(_UNIT_SEPARATOR) if part)
    return f"{visible(parts)}{'…' * (len(content) >= ERROR_CHARS)}"


def error_text(text: str | None) -> str:
    """Return an error from the state, with an ellipsis if it was cut."""
    text = text or ""
    return visible(text, but="\n") + "…" * (len(text) >= ERROR_CHARS)


def duration(seconds: float) -> str:
    """Return a duration in at most two units."""
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 10:  # noqa: PLR2004  tenths matter
        return f"{math.floor(seconds * 10) / 10:g} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    units = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    largest = next(at for at, (amount, _) in enumerate(units) if amount)
    return " ".join(f"{amount} {unit}" for amount, unit in units[largest : largest + 2] if amount)


def percent(part: int, total: int) -> str:
    """Return a percentage, rounded down: 100 % means all."""
    if not total:
        return "0 %"
    tenths = math.floor(1000 * part / total)
    return f"{tenths // 10}.{tenths % 10} %" if tenths % 10 else f"{tenths // 10} %"


def roughly(seconds: float) -> str:
    """Return an estimated duration."""
    if seconds < 60:  # noqa: PLR2004  a minute
        return "less than a minute"
    return f"about {duration(60 * math.ceil(seconds / 60))}"


def moment(when: datetime, now: datetime) -> str:
    """Return a time in UTC, with its date if it is 12 hours or more from now."""
    when = when.astimezone(UTC)
    near = abs(now - when) < timedelta(hours=12)
    return f"{when:%H:%M:%S} UTC" if near else f"{when:%Y-%m-%d %H:%M} UTC"


def function_name(name: str) -> str:
    """Return the short name of a function: the name in an ARN, or the whole name.

    Format: ``arn:partition:lambda:region:account:function:name``,
    https://docs.aws.amazon.com/service-authorization/latest/reference/list_awslambda.html.
    """
    found = Arn.find(name)
    return name if found is None else found.name


_ENVIRONMENT = Environment(
    loader=PackageLoader("retrofill.web"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.filters |= {
    "visible": visible,
    "error_text": error_text,
    "facts": facts,
    "duration": duration,
    "roughly": roughly,
    "moment": moment,
    "function_name": function_name,
    "part": partial(quote, safe=""),
    "in_bytes": in_bytes,
    "verdict": verdict,
    "count": lambda number: f"{number:,}",
    "counted": counted,
    "dollars": dollars,
    "number": number,
    "percent": percent,
    "in_dollars": partial(in_range, text_of=dollars),
    "in_times": partial(in_range, text_of=in_time),
}
_ENVIRONMENT.globals |= {"outcomes": OUTCOMES, "causes": CAUSES, "links": links}
