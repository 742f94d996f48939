"""The kind of a source: one record with all of it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, NamedTuple

from retrofill.events.form import ItemForm
from retrofill.model.connections import Connections
from retrofill.model.cost import ListingPrice
from retrofill.model.items import Item, Measure
from retrofill.model.permission import Permission
from retrofill.model.quoting import quoted
from retrofill.model.report_files import ReportForm
from retrofill.model.runs import Window
from retrofill.params import Params, Problem, Sound
from retrofill.sources.source import Source

SOURCE = "Data source"
"""The section of the trigger form that shows a source's params."""


REASONS: Mapping[str, str] = {
    "filtered": "excluded by the filters of the run or of its live trigger",
    "rejected": "that cannot be read, or whose key Postgres cannot store",
    "too_large": "too large for one call",
}
"""The reasons that every source may have for leaving something out."""


def content_measure(item: Item) -> Measure:
    """Return the measure of an item that consists of its content; its age is unknown."""
    return Measure(len(item.content.encode()), None)


class Interval(NamedTuple):
    """The data interval of a DAG run; both None: it has none."""

    start: datetime | None
    end: datetime | None


class SourceParams(Params):
    """The params of a source."""

    filters: ClassVar[tuple[str, ...]] = ()
    """Params that filter the listing. They do not apply to items in quarantine."""

    key_filters: ClassVar[tuple[str, ...]] = ()
    """Params that select by key, also for redrives; see :meth:`redriven_keys`."""

    def label(self) -> str:
        """Return the source's name, as shown to users."""
        raise NotImplementedError

    def origin(self) -> str:
        """Return the identity of the items: another origin has other items, so another job."""
        raise NotImplementedError

    def datasets(self) -> list[tuple[str, str]]:
        """Return the data sets that are read, for lineage: namespace and name of each.

        Source: https://openlineage.io/docs/spec/naming.
        """
        return [(self.origin(), self.label())]

    def place(self) -> Mapping[str, str]:
        """Return facts that all items share and events may contain, such as their location."""
        return {}

    def window(self, interval: Interval) -> Window:
        """Return the time in which an item must have been modified to belong to a run.

        :param interval: that of the DAG run
        :raises ConfigError: the interval is requested, but there is none
        """
        del interval
        return Window(after=None, before=None)

    def redriven_keys(self) -> tuple[str, str | None]:
        """Return which keys a redrive selects: their prefix and their pattern.

        :returns: the pattern as shell patterns, separated by bars; None: any key
        """
        return "", None

    def redrives(self, origin: str) -> bool:
        """Return whether a redrive with these params may select from a job with this origin."""
        return origin == self.origin()

    def problems_of_extent(self, sound: Sound) -> Iterator[Problem]:
        """Find params that may select more than you mean; a redrive of a named job never does."""
        del sound
        yield from ()

    def problems_with_redrive(self, sound: Sound) -> Iterator[Problem]:
        """Find filters that are given with a redrive of quarantine."""
        defaults = type(self).model_fields
        for name in self.filters:
            value = getattr(self, name)
            if sound(name) and value != defaults[name].default:
                yield Problem(
                    name,
                    f"{quoted(value)} is not allowed with redrive 'quarantine', which lists"
                    " nothing; select by the other fields of redrive",
                )


class Opening(NamedTuple):
    """The context in which a source is opened, in addition to its params."""

    connections: Connections
    aws_conn_id: str
    window: Window
    """The time in which an item must have been modified to belong to the run."""

    passes: Callable[[Item], bool] | None
    """Returns whether the live trigger would send an item; None: it sends all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceKind:
    """One kind of source.

    An installed package adds one by an entry point::

        [project.entry-points."retrofill.sources"]
        numbers = "my_package.numbers:KIND"

    ``open`` does no I/O: :meth:`Source.check` makes the first request.
    """

    name: str
    """Its name in job files and DAGs; its DAG is ``retrofill_<name>``."""

    title: str
    """What it reads, in words: ``items made in memory``."""

    about: str = ""
    """The description of its DAG, in Markdown; empty: only job files make DAGs of it."""

    params: type[SourceParams]

    open: Callable[[Any, Opening], Source]
    """Opens it, with its params."""

    form: ItemForm
    """The form of its items, which determines the event shapes that they can fill."""

    permissions: tuple[Permission, ...] = ()
    """The permissions that its role needs."""

    left_out: Mapping[str, str] = field(default_factory=dict)
    """Its own reasons for leaving items out, with descriptions."""

    measure: Callable[[Item], Measure] | None = None
    """Returns the size and age of an item from its content; None: they are unknown."""

    listing: ListingPrice | None = None
    """The price of listing it; None: free, or not priced by request."""

    report: ReportForm = field(default_factory=ReportForm)
    """The form of its report files."""

    lists_changes: bool = False
    """Whether it can list exactly the items that were modified in a window."""

    @property
    def reasons(self) -> Mapping[str, str]:
        """All reasons for leaving something out, with descriptions."""
        return {**REASONS, **self.left_out}
