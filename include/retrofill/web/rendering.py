"""What all pages share: the filters by which templates say things, and the page around them."""

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

LOOK_S = 3
"""Seconds between two looks at a run that may change."""

RARE_LOOK_S = 10
"""Seconds between two looks at what may come to be a run."""

_UNIT_SEPARATOR = "\x1f"


class Shell(NamedTuple):
    """What the page around each page needs."""

    root: str
    """The path at which Airflow serves the pages; links begin with it."""

    nonce: str
    """By which the page's own style and script are known."""

    @property
    def airflow(self) -> str:
        """The path at which Airflow's own pages begin."""
        return self.root.removesuffix("/retrofill")


def render(template: str, shell: Shell, *, look_s: int = 0, **values: Any) -> str:
    """Return a page made of a template.

    :param look_s: seconds to the next look; 0: never
    """
    return _ENVIRONMENT.get_template(template).render(shell=shell, look_s=look_s, **values)


def render_message(title: str, text: str, *, shell: Shell, look_s: int = 0) -> str:
    """Return a page that says one thing."""
    return render("message.html", shell, look_s=look_s, title=title, text=text)


def facts(content: str) -> str:
    """Return an item's content for people: its beginning, and its parts with a dot between two."""
    parts = " · ".join(part for part in content.split(_UNIT_SEPARATOR) if part)
    return f"{visible(parts)}{'…' * (len(content) >= ERROR_CHARS)}"


def error_text(text: str | None) -> str:
    """Return an error as the state gives it, with a mark where it was cut."""
    text = text or ""
    return visible(text, but="\n") + "…" * (len(text) >= ERROR_CHARS)


def duration(seconds: float) -> str:
    """Return a time span with two units at most."""
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 10:  # noqa: PLR2004  of which a tenth matters
        return f"{math.floor(seconds * 10) / 10:g} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    units = [(days, "d"), (hours, "h"), (minutes, "min"), (rest, "s")]
    largest = next(at for at, (amount, _) in enumerate(units) if amount)
    return " ".join(f"{amount} {unit}" for amount, unit in units[largest : largest + 2] if amount)


def percent(part: int, total: int) -> str:
    """Return a share, never rounded up to a whole that it is not."""
    if not total:
        return "0 %"
    tenths = math.floor(1000 * part / total)
    return f"{tenths // 10}.{tenths % 10} %" if tenths % 10 else f"{tenths // 10} %"


def roughly(seconds: float) -> str:
    """Return a time span that is a guess."""
    if seconds < 60:  # noqa: PLR2004  a minute
        return "less than a minute"
    return f"about {duration(60 * math.ceil(seconds / 60))}"


def moment(when: datetime, now: datetime) -> str:
    """Return a time and its zone, with its date if that is another half day."""
    when = when.astimezone(UTC)
    near = abs(now - when) < timedelta(hours=12)
    return f"{when:%H:%M:%S} UTC" if near else f"{when:%Y-%m-%d %H:%M} UTC"


def function_name(name: str) -> str:
    """Return the short name of a function: that within an ARN, or all of it.

    Format: ``arn:partition:lambda:region:account:function:name``,
    https://docs.aws.amazon.com/service-authorization/latest/reference/list_awslambda.html.
    """
    found = Arn.find(name)
    return name if found is None else found.name


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("retrofill.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
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
    environment.globals |= {"outcomes": OUTCOMES, "causes": CAUSES, "links": links}
    return environment


_ENVIRONMENT = _environment()
