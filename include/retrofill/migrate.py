"""Bring the state's schema to this version: ``python -m retrofill.migrate [DSN]``."""

import os
import sys

from retrofill.connections import wiring
from retrofill.model.errors import RetrofillError
from retrofill.state.migrate import migrate


def main() -> int:
    """Migrate the database of the connection retrofill_state, or the one that is named."""
    # As Airflow's own commands do: connections are looked for in its database, too.
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
    try:
        applied = migrate(sys.argv[1] if len(sys.argv) > 1 else wiring().state_dsn)
    except RetrofillError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    said = "\n".join(f"applied {name}" for name in applied) or "the schema is up to date"
    sys.stdout.write(f"{said}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
