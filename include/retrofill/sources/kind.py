"""The kind of a source: everything that there is to know of it, in one record."""

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
"""The part of the trigger form that shows a source's params."""


REASONS: Mapping[str, str] = {
    "filtered": "left out by the filters of the run or of its live trigger",
    "rejected": "that cannot be read, or whose key Postgres cannot hold",
    "too_large": "too large for one call",
}
"""The reasons that every source may have for leaving something out."""


def content_measure(item: Item) -> Measure:
    """Return the measure of an item that is its content; its age is unknown."""
    return Measure(len(item.content.encode()), None)


class Interval(NamedTuple):
    """The data interval of a DAG run; both None: it has none."""

    start: datetime | None
    end: datetime | None


class SourceParams(Params):
    """The params of a source."""

    filters: ClassVar[tuple[str, ...]] = ()
    """Params that choose among what is listed: of what is in quarantine they choose nothing."""

    key_filters: ClassVar[tuple[str, ...]] = ()
    """Params that choose by keys, also what is redriven; see :meth:`redriven_keys`."""

    def label(self) -> str:
        """Return the source's name for people, such as ``memory://items``."""
        raise NotImplementedError

    def origin(self) -> str:
        """Return what a job is of: another origin has other items, under other identifiers."""
        raise NotImplementedError

    def datasets(self) -> list[tuple[str, str]]:
        """Return what is read, for lineage: namespace and name of each data set.

        Source: https://openlineage.io/docs/spec/naming.
        """
        return [(self.origin(), self.label())]

    def place(self) -> Mapping[str, str]:
        """Return what all items share and events may tell, such as where they are kept."""
        return {}

    def window(self, interval: Interval) -> Window:
        """Return when an item must have been modified to belong to a run.

        :param interval: that of the DAG run
        :raises ConfigError: the interval is asked for, and there is none
        """
        del interval
        return Window(after=None, before=None)

    def redriven_keys(self) -> tuple[str, str | None]:
        """Return which keys a redrive takes: how they begin, and what they match.

        :returns: with shell patterns, a bar between two; None: any key
        """
        return "", None

    def redrives(self, origin: str) -> bool:
        """Return whether a redrive of these params may take a job of some origin."""
        return origin == self.origin()

    def problems_of_extent(self, sound: Sound) -> Iterator[Problem]:
        """Find that more is asked for than may be meant; a redrive of a named job never is."""
        del sound
        yield from ()

    def problems_with_redrive(self, sound: Sound) -> Iterator[Problem]:
        """Find filters that are asked for with a redrive of quarantine."""
        defaults = type(self).model_fields
        for name in self.filters:
            value = getattr(self, name)
            if sound(name) and value != defaults[name].default:
                yield Problem(
                    name,
                    f"{quoted(value)}; not allowed with redrive 'quarantine', which lists nothing"
                    " and selects by the other fields of redrive",
                )


class Opening(NamedTuple):
    """What a source is opened with, beside its params."""

    connections: Connections
    aws_conn_id: str
    window: Window
    """When an item must have been modified to belong to the run."""

    passes: Callable[[Item], bool] | None
    """Tells whether the live trigger would send an item; None: it sends all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceKind:
    """One kind of source.

    The function that opens it does no I/O: :meth:`Source.check` is the first to ask anything.
    """

    name: str
    """How job files and DAGs name it; its DAG is ``retrofill_<name>``."""

    title: str
    """What it reads, for people: ``items made in memory``."""

    about: str = ""
    """What its DAG says of itself, in Markdown; empty: only job files make DAGs of it."""

    params: type[SourceParams]

    open: Callable[[Any, Opening], Source]
    """Opens it, with its params."""

    form: ItemForm
    """The form of its items: says which event shapes they can fill."""

    permissions: tuple[Permission, ...] = ()
    """What its role must be allowed to do."""

    left_out: Mapping[str, str] = field(default_factory=dict)
    """Its own reasons for leaving out what it has seen, with words for people."""

    measure: Callable[[Item], Measure] | None = None
    """Tells the size and the age of an item from its content; None: nothing tells them."""

    listing: ListingPrice | None = None
    """What it costs to list it; None: nothing, or not by requests."""

    report: ReportForm = field(default_factory=ReportForm)
    """The form of its report files."""

    lists_changes: bool = False
    """Whether it lists, asked for a window, what was modified in that and nothing else."""

    @property
    def reasons(self) -> Mapping[str, str]:
        """All reasons for leaving something out, with words for people."""
        return {**REASONS, **self.left_out}
