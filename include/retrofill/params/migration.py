"""The params of the migration: its connection, and what it grants to which role."""

from typing import Annotated

from retrofill.model.connections import STATE_CONN_ID
from retrofill.params.base import Params, field
from retrofill.params.texts import BLANK, ConnectionId, Text

_SECTION = "Migration"
_LONGEST_ROLE = 63
_OF_A_ROLE = {
    "allowed": f"the name of a role, up to {_LONGEST_ROLE} characters",
    "default": None,
    "max_length": _LONGEST_ROLE,
}


class MigrationParams(Params):
    """How the schema of the state is migrated."""

    conn_id: ConnectionId = field(
        _SECTION,
        "Connection",
        "The Airflow connection that migrates the schema. Its role must own the schema, or be"
        " allowed to create it. If the role of the running system may not, give another"
        " connection.",
        allowed="the id of an Airflow connection",
        form={"maxLength": 200},
        default=STATE_CONN_ID,
        examples=[STATE_CONN_ID, "retrofill_owner"],
    )
    dry_run: bool = field(
        _SECTION, "Dry run", "Log what would be done, and change nothing.", default=False
    )
    runtime_role: Annotated[Text | None, BLANK] = field(
        _SECTION,
        "Runtime role",
        "The role that is granted what tasks and pages need. Empty: the role of the connection"
        " retrofill_state.",
        **_OF_A_ROLE,
        examples=["retrofill_runtime"],
    )
    reader_role: Annotated[Text | None, BLANK] = field(
        _SECTION,
        "Reader role",
        "A role that may read the public views, for dashboards. Empty: none.",
        **_OF_A_ROLE,
        examples=["retrofill_reader"],
    )
    forget: bool = field(
        _SECTION,
        "Allow forgetting",
        "Allow the runtime role to forget results and jobs, and to redrive items that succeeded.",
        default=False,
    )
    grant: bool = field(
        _SECTION,
        "Grant",
        "Also run the GRANT statements. They are logged in any case.",
        default=False,
    )
