"""What the events of one run have in common, apart from its items."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from retrofill.events.form import ItemForm
from retrofill.events.synthetic import Form, Ids, ids, one_id
from retrofill.model.function import Pinned


@dataclass(frozen=True, slots=True, kw_only=True)
class EventContext:
    """Facts of one run that its events may contain."""

    form: ItemForm
    """The form of the run's items."""

    place: Mapping[str, str]
    """What all of the source's items share, such as where they are kept."""

    function: Pinned
    """The function to call."""

    job: str
    """The job's name."""

    run_id: int
    """The run's number."""

    trigger: Mapping[str, Any] = field(default_factory=dict)
    """The live trigger that the run imitates, as its module describes it; empty: none."""

    arguments: Mapping[str, object] = field(default_factory=dict)
    """Constants for the function; only for shapes that have a place for them."""

    def ids(self, form: Form, name: str) -> Ids:
        """Return the function that makes ids of the job's items; see :func:`.synthetic.ids`."""
        return ids(form, name, self.job)

    def id(self, form: Form, name: str) -> str:
        """Return a synthetic id of the job itself."""
        return one_id(form, name, self.job)
