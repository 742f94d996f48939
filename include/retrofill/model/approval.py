"""The approval: what became of a run's plan, which a person was asked to approve."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self


class Answer(StrEnum):
    """What becomes of a plan that waits for a person."""

    WAITING = "waiting"
    """Nobody has answered yet."""

    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    """Nobody answered in time."""

    ENDED = "ended"
    """The run was closed before anybody answered."""

    VOID = "void"
    """It was approved, and what it would call is not what was approved any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """What became of a plan; times are ISO 8601."""

    state: Answer
    mark: str = ""
    """Tells one asking from the next."""

    asked_at: str = ""
    until: str = ""
    """When it expires."""

    at: str = ""
    """When it was answered."""

    by: str = ""
    """Who answered; empty: nobody did."""

    withdrawn: bool = False
    """Whether what it would have called is withdrawn."""

    changed: int | None = None
    """How many objects were modified after the run was opened, when it was approved; None: unknown.

    They are not called."""

    changed_more: bool = False
    """Whether there may be more of them: the look at the source was broken off."""

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self | None:
        """Return the approval that a run's row holds; None: nobody is asked, or not yet."""
        return cls(**{**stored, "state": Answer(stored["state"])}) if stored else None

    @property
    def is_negative(self) -> bool:
        """Whether the plan is not to be carried out any more."""
        return self.state not in {Answer.WAITING, Answer.APPROVED}

    @property
    def said(self) -> str:
        """What became of the plan, for people."""
        return {
            Answer.WAITING: f"waits for a person until {self.until_said}",
            Answer.APPROVED: f"approved by {self.by} at {_moment(self.at)}",
            Answer.REJECTED: f"rejected by {self.by} at {_moment(self.at)}",
            Answer.EXPIRED: f"expired at {_moment(self.at)}: nobody answered",
            Answer.ENDED: f"not answered: the run ended at {_moment(self.at)}",
            Answer.VOID: f"approved by {self.by} at {_moment(self.at)}, and void since then",
        }[self.state]

    @property
    def until_said(self) -> str:
        """When it expires, for people."""
        return _moment(self.until)

    @property
    def changes_said(self) -> str:
        """What was modified since the run was opened, and is not called; empty: nobody looked."""
        if self.changed is None:
            return ""
        at_least = "at least " if self.changed_more else ""
        return f"{at_least}{self.changed:,} changed since the plan, not called"

    @property
    def why(self) -> str:
        """Why nothing may be called, as a clause; empty: it may."""
        return {
            Answer.WAITING: "the plan waits for approval",
            Answer.APPROVED: "",
            Answer.REJECTED: f"the plan was rejected by {self.by} at {_moment(self.at)}",
            Answer.EXPIRED: f"nobody approved the plan until {_moment(self.at)}",
            Answer.ENDED: "the run ended before anybody approved its plan",
            Answer.VOID: "what was approved is not what would be called any more",
        }[self.state]


def _moment(text: str) -> str:
    """Return a time in UTC for people, to the minute."""
    return f"{text[:16].replace('T', ' ')} UTC"
