"""The params of the approval: whether the plan must be approved before the first call."""

from collections.abc import Iterator

from retrofill.params.base import Params, Problem, Sound, field

APPROVAL = "Approval"

_HOURS = 24


class ApprovalParams(Params):
    """Whether a run waits for approval before its first call, and for how long."""

    approve: bool = field(
        APPROVAL,
        "Approve",
        "List, screen and plan, then wait until someone approves the plan: under Required Actions"
        " in Airflow, on the command line or by REST. A plan that is rejected, or not approved in"
        " time, calls nothing and leaves nothing behind.",
        default=False,
    )
    approve_within_hours: int = field(
        APPROVAL,
        "Approve within hours",
        "How long the plan waits for approval. Then it counts as rejected.",
        default=_HOURS,
        ge=1,
        le=720,
    )

    def contradictions(self, sound: Sound) -> Iterator[Problem]:
        """Find a deadline without an approval."""
        if self.approve or not sound("approve"):
            return
        if self.approve_within_hours != _HOURS and sound("approve_within_hours"):
            yield Problem(
                "approve_within_hours",
                f"{self.approve_within_hours} is allowed only with approve, which is false",
            )
