"""What the events of one run have in common, beside its items."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from retrofill.events.form import ItemForm
from retrofill.events.made_up import Form, Ids, ids, one_id
from retrofill.model.function import Pinned


@dataclass(frozen=True, slots=True, kw_only=True)
class EventContext:
    """The facts of one run that its events may tell."""

    form: ItemForm
    """The form of the run's items."""

    place: Mapping[str, str]
    """What the source says that all its items share, such as where they are kept."""

    function: Pinned
    """The function that is called."""

    job: str
    """The job's name."""

    run_id: int
    """The run's number."""

    trigger: Mapping[str, Any] = field(default_factory=dict)
    """What is told of the live trigger that the run imitates; empty: it imitates none."""

    arguments: Mapping[str, object] = field(default_factory=dict)
    """Constants for the function; only for shapes that have a place for them."""

    def ids(self, form: Form, name: str) -> Ids:
        """Return what makes up ids of the job's items; see :func:`retrofill.events.made_up.ids`."""
        return ids(form, name, self.job)

    def id(self, form: Form, name: str) -> str:
        """Return an id of the job itself."""
        return one_id(form, name, self.job)
