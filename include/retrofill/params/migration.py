"""The params of the migration: through which connection, and what is granted to whom."""

from typing import Annotated

from retrofill.model.connections import STATE_CONN_ID
from retrofill.params.base import Params, field
from retrofill.params.texts import BLANK, ConnectionId, Text

_SECTION = "Migration"
_LONGEST_ROLE = 63
_OF_A_ROLE = {
    "allowed": f"the name of a role, up to {_LONGEST_ROLE} characters",
    "form": {"maxLength": _LONGEST_ROLE},
    "default": None,
    "max_length": _LONGEST_ROLE,
}


class MigrationParams(Params):
    """How the schema of the state is migrated."""

    conn_id: ConnectionId = field(
        _SECTION,
        "Connection",
        "The Airflow connection through which the schema is migrated. Its role owns the schema, or"
        " may create it. Name another than that of the running system if that may not.",
        allowed="the id of an Airflow connection",
        form={"maxLength": 200},
        default=STATE_CONN_ID,
        examples=[STATE_CONN_ID, "retrofill_owner"],
    )
    dry_run: bool = field(
        _SECTION,
        "Dry run",
        "Say in the log what would be done, and change nothing.",
        default=False,
    )
    runtime_role: Annotated[Text | None, BLANK] = field(
        _SECTION,
        "Role that runs",
        "The role that gets what tasks and pages need. Empty: that of the connection"
        " retrofill_state.",
        **_OF_A_ROLE,
        examples=["retrofill_runtime"],
    )
    reader_role: Annotated[Text | None, BLANK] = field(
        _SECTION,
        "Role that reads",
        "A role that gets to read the public views, for dashboards. Empty: there is none.",
        **_OF_A_ROLE,
        examples=["retrofill_reader"],
    )
    forget: bool = field(
        _SECTION,
        "May forget",
        "Let the role that runs forget results and jobs, and redrive what has succeeded.",
        default=False,
    )
    grant: bool = field(
        _SECTION,
        "Grant",
        "Run the GRANT statements, too. They are in the log in any case.",
        default=False,
    )
