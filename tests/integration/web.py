"""The pages behind Airflow's permissions, and a half-finished run for them to show."""

from contextlib import closing
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

from retrofill.model.calls import Call, EndedCall, Quarantined, Settlement
from retrofill.model.runs import SetRef, TaskName
from retrofill.state import batches
from retrofill.state.connection import Connection
from retrofill.state.lease import BatchLease

from tests.integration.opened import enqueue, entries_of, item, open_run

if TYPE_CHECKING:
    from httpx import Response
    from starlette.testclient import TestClient

OWN = {"Sec-Fetch-Site": "same-origin"}
POISON = "b/<b>\n\u202e"


class Web(NamedTuple):
    """The pages behind Airflow's permissions."""

    client: "TestClient"
    airflow: ModuleType
    """The module tests.integration.api_server."""

    def get(self, path: str, role: str) -> "Response":
        return self.client.get(path, headers=self.as_role(role))

    def post(self, path: str, role: str, *, action: str, text: str = "") -> "Response":
        form = {"action": action, "text": text}
        return self.client.post(path, data=form, headers={**self.as_role(role), **OWN})

    def as_role(self, role: str) -> dict[str, str]:
        """Return the cookie of a user who has signed in with that role."""
        cookie: dict[str, str] = self.airflow.as_role(role)
        return cookie

    def audit_log(self, dag_id: str) -> list[tuple[str, str, str]]:
        """Return the event, user and value of each entry about a DAG."""
        entries: list[tuple[str, str, str]] = self.airflow.audit_log(dag_id)
        return entries


def run_in_the_middle(conn: Connection, dsn: str) -> SetRef:
    """Open a run: 2 of 6 items are processed, 1 quarantined, 1 in flight, 1 refused, 1 left."""
    ref = open_run(conn, partitions=2)
    enqueue(conn, ref, [item(key) for key in ("a", POISON, "c", "d", "e", "f")])
    batches.plan(conn, ref, 1, most_items=6, fewest_items=6)
    with closing(BatchLease(dsn, 1, "h", TaskName("invoke", 0))) as lease:
        assert lease.take(holder_is_dead=lambda _: True)
        calls = [Call.of([entry]) for entry in entries_of(lease)]
        lease.settle(Settlement(), calls[:5])
        good, poison, fine, failed, _ = calls[:5]
        bad = EndedCall(
            poison.number, "failed", "request-2", "1", "ValueError", "x" * 999, "unhandled", 1
        )
        lease.settle(
            Settlement(
                ended=[
                    EndedCall(good.number, "succeeded", "request-1", "1", items=1),
                    bad,
                    EndedCall(fine.number, "succeeded", "request-3", "1", items=1),
                    EndedCall(
                        failed.number, "throttled", "request-4", "", "TooMany", "slow down", items=1
                    ),
                ],
                succeeded=[(span, done.number) for done in (good, fine) for span in done.spans],
                quarantined=[Quarantined(poison.entries[0], bad, "x" * 999)],
                retried=[(failed.entries[0], 5.0)],
            ),
            [],
        )
    return ref
