"""The approval of a run's plan."""

from dataclasses import dataclass
from enum import StrEnum

from retrofill.model.stored import Stored


class ApprovalStatus(StrEnum):
    """How a plan was answered."""

    WAITING = "waiting"
    """No answer yet."""

    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    """No answer in time."""

    ENDED = "ended"
    """The run was closed before there was an answer."""

    VOID = "void"
    """Approved, but the run would now call something else than was approved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval(Stored):
    """The status of a plan's approval; times are ISO 8601."""

    status: ApprovalStatus
    mark: str = ""
    """Identifies this request for approval."""

    asked_at: str = ""
    until: str = ""
    """When it expires."""

    at: str = ""
    """When it was answered."""

    by: str = ""
    """Who answered; empty: nobody."""

    withdrawn: bool = False
    """Whether the items that it would have called were withdrawn."""

    changed: int | None = None
    """Objects modified between the run's opening and the approval; None: unknown.

    They are not called."""

    changed_more: bool = False
    """Whether there may be more, because the check of the source was interrupted."""

    @property
    def is_negative(self) -> bool:
        """Whether the plan can no longer be carried out."""
        return self.status not in {ApprovalStatus.WAITING, ApprovalStatus.APPROVED}

    @property
    def text(self) -> str:
        """The status of the approval, for people."""
        return {
            ApprovalStatus.WAITING: f"waits for approval until {self.until_text}",
            ApprovalStatus.APPROVED: f"approved by {self.by} at {_moment(self.at)}",
            ApprovalStatus.REJECTED: f"rejected by {self.by} at {_moment(self.at)}",
            ApprovalStatus.EXPIRED: f"expired at {_moment(self.at)}: nobody answered",
            ApprovalStatus.ENDED: f"not answered: the run ended at {_moment(self.at)}",
            ApprovalStatus.VOID: f"approved by {self.by} at {_moment(self.at)}, but void now",
        }[self.status]

    @property
    def until_text(self) -> str:
        """When it expires, for people."""
        return _moment(self.until)

    @property
    def changes_text(self) -> str:
        """How many objects changed since the plan and are not called; empty: not checked."""
        if self.changed is None:
            return ""
        at_least = "at least " if self.changed_more else ""
        return f"{at_least}{self.changed:,} changed since the plan, not called"

    @property
    def why(self) -> str:
        """Why nothing may be called, as a clause; empty: calls are allowed."""
        return {
            ApprovalStatus.WAITING: "the plan waits for approval",
            ApprovalStatus.APPROVED: "",
            ApprovalStatus.REJECTED: f"the plan was rejected by {self.by} at {_moment(self.at)}",
            ApprovalStatus.EXPIRED: f"nobody approved the plan by {_moment(self.at)}",
            ApprovalStatus.ENDED: "the run ended before anybody approved its plan",
            ApprovalStatus.VOID: "the run would now call something else than was approved",
        }[self.status]


def _moment(text: str) -> str:
    """Return a UTC time for people, to the minute."""
    return f"{text[:16].replace('T', ' ')} UTC"
