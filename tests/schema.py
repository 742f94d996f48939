"""Today's schema of the state, for people to read: ``python -m tests.schema`` writes it anew."""

import re
import subprocess
import tempfile
from pathlib import Path

from retrofill.state.migrate import migrate

from stack.services import Postgres, free_port, postgres_binary, running

SCHEMA = Path(__file__).parents[1] / "include/retrofill/state/schema.sql"

_HEAD = """\
-- Today's schema, as the migrations make it; to be read, not run: each table stands with all that
-- belongs to it. After a new migration, write it anew: python -m tests.schema
"""
_ENTRY = re.compile(r"^--\n-- Name: .+; Type: .+; Schema: .+; Owner: .+\n--\n", re.MULTILINE)
_OF = re.compile(r"\bretrofill\.(\w+)")
_END = "--\n-- PostgreSQL database dump complete"
_SETTING = re.compile(r"^SET default_\w+ = .+;\n", re.MULTILINE)


def schema_of(dsn: str) -> str:
    """Return the schema that a database has, in the order in which it is read."""
    options = ["--schema-only", "--no-owner", "--no-privileges", "--schema=retrofill"]
    dumped = subprocess.run(  # noqa: S603  our own server's program
        [postgres_binary("pg_dump"), *options, dsn], check=True, capture_output=True, text=True
    ).stdout
    _, *entries = _ENTRY.split(dumped.partition(_END)[0])
    parts: dict[str, list[str]] = {}
    for entry in entries:
        found = _OF.search(entry)
        text = _SETTING.sub("", entry).strip()
        parts.setdefault(found[1] if found else "", []).append(text)
    whole = "\n\n\n".join([_HEAD.strip(), *("\n\n".join(part) for part in parts.values())]) + "\n"
    return whole.replace(";\n\nCOMMENT", ";\nCOMMENT")


def main() -> None:
    """Migrate an empty database, and write down what that made."""
    with tempfile.TemporaryDirectory(prefix="retrofill-schema-") as directory:
        data = Path(directory) / "data"
        server = Postgres(data, free_port(), password="schema", lasting=False)  # noqa: S106
        with running(server):
            server.ensure_database("schema")
            migrate(server.dsn("schema"))
            SCHEMA.write_text(schema_of(server.dsn("schema")), encoding="utf-8")


if __name__ == "__main__":
    main()
