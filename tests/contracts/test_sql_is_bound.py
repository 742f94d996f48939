"""SQL statements are fixed: values from users and buckets are bound, never formatted in."""

import ast
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from retrofill.model.runs import Job
from retrofill.state import limits, runs
from retrofill.state.connection import connect
from retrofill.state.statements import load

from tests.integration.opened import DELIVERY, FUNCTION, enqueue, item, keys_in, new_run

ROOT = Path(__file__).parents[2]
STATE = ROOT / "include/retrofill/state"
STATEMENTS = sorted(STATE.glob("*.sql"))
EXECUTING = {"execute", "executemany", "copy_expert", "copy_from", "copy_to", "mogrify", "callproc"}
# Bound values, in the two notations of psycopg2.
_BOUND = re.compile(r"%\(\w+\)s")
HOSTILE = [
    "'; DROP TABLE retrofill.results; --",
    '" OR 1=1',
    "%s %(job)s %%",
    "\\'; \\",
    "{}",
    "$1",
]


def executing(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in EXECUTING
            # Airflow's operators have their own `execute`.
            and not ast.unparse(node.func.value).startswith("super()")
        ):
            yield node


def is_written_down(asked: ast.expr) -> bool:
    """Return whether it is a statement of a .sql file, or a constant."""
    match asked:
        case ast.Constant(value=str()):
            return True
        case ast.Subscript(value=ast.Name(id="_SQL" | "_SCREENING")):
            return True
        case ast.Call(func=ast.Attribute(attr="mogrify"), args=[inner, *_]):
            return is_written_down(inner)
    return False


# Exceptions: the text of a migration, which is part of the code; the GRANTs of grants.py, which
# quote a role's name; and names of our own tables, which psycopg2 quotes.
ALLOWED = {
    ("migrate.py", "entry.sql"),
    ("migrate.py", "statement"),
    ("migrate.py", "sql.SQL('LOCK TABLE {} IN ACCESS EXCLUSIVE MODE').format(tables)"),
}


def found_in(path: Path) -> set[str]:
    return {
        ast.unparse(call.args[0])
        for call in executing(ast.parse(path.read_text()))
        if not is_written_down(call.args[0])
        and (path.name, ast.unparse(call.args[0])) not in ALLOWED
    }


def test_only_fixed_statements_are_executed() -> None:
    paths = sorted((ROOT / "include/retrofill").rglob("*.py"))
    calls = [call for path in paths for call in executing(ast.parse(path.read_text()))]
    assert len(calls) > 50, "no call was found"
    assert {path.name: found_in(path) for path in paths if found_in(path)} == {}


@pytest.mark.parametrize(
    "text",
    [
        'cur.execute(f"SELECT {name}")',
        'cur.execute("SELECT " + name)',
        'cur.execute("SELECT %s" % name)',
        'cur.execute("SELECT {}".format(name))',
        'cur.execute(_SQL["x"] + name)',
        "cur.execute(text)",
        'cur.copy_expert(cur.mogrify(f"COPY {name}"), out)',
    ],
)
def test_a_formatted_statement_would_be_found(tmp_path: Path, text: str) -> None:
    path = tmp_path / "pasted.py"
    path.write_text(text)
    assert found_in(path)


@pytest.mark.parametrize("path", STATEMENTS, ids=lambda path: path.name)
def test_a_statement_binds_by_name_and_builds_no_sql(path: Path) -> None:
    for name, text in load(path.name).items():
        code = re.sub(r"--[^\n]*", "", text)
        rest = _BOUND.sub("", code)
        assert "%" not in rest, f"{name} binds by position"
        in_quotes = re.findall(r"'(?:[^']|'')*'", code)
        assert [text for text in in_quotes if _BOUND.search(text)] == [], name
        assert not re.search(r"(?i)\b(execute|format\s*\(|do\s+\$|prepare)\b", rest), name


@pytest.mark.parametrize("path", STATEMENTS, ids=lambda path: path.name)
def test_each_statement_has_its_purpose_in_the_first_line(path: Path) -> None:
    """One sentence: `-- The batches of a set, in the order of their items.`"""
    for name, text in load(path.name).items():
        assert re.match(r"-- [A-Z][^\n]+[^.\n]\.\n(?!\Z)", text), f"{path.name}: {name}"


@pytest.mark.parametrize("path", STATEMENTS, ids=lambda path: path.name)
def test_nothing_lasts_longer_than_its_transaction(path: Path) -> None:
    """So a pooler may give each transaction another connection."""
    lasting = r"(?i)\b(listen|prepare|temp(orary)? table|pg_(try_)?advisory_lock|declare|discard)\b"
    for name, text in load(path.name).items():
        assert not re.search(lasting, text), name
        assert not re.search(r"(?im)^\s*set (?!transaction|local)", text.split(" SET\n")[0]), name


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_text_stays_text(state_dsn: str, hostile: str) -> None:
    with closing(connect(state_dsn)) as conn:
        job_id = runs.remember_job(conn, Job(hostile, hostile, hostile, hostile, hostile))
        new = new_run(
            job_id,
            hostile,
            config={hostile: hostile},
            source=hostile,
            delivery=replace(DELIVERY, event=hostile, trigger={hostile: hostile}),
            dag_id=hostile,
        )
        version = replace(FUNCTION, version=hostile, facts={hostile: hostile})
        ref = runs.open_run(conn, new, version)
        runs.add_partitions(conn, ref.run_id, [(0, hostile, {hostile: hostile})])
        assert runs.find_set(conn, hostile, hostile) == ref
        assert enqueue(conn, ref, [item(hostile, hostile)]).new == 1
        again = runs.open_run(conn, replace(new, dag_run_id="again"), version)
        runs.add_partitions(conn, again.run_id, [(0, "again", {})])
        assert enqueue(conn, again, [item(hostile, hostile)]).known == 1
        limits.stop(conn, ref.run_id, hostile)
        assert keys_in(conn, "in_process") == [hostile]
        report = runs.get_report(conn, ref.run_id)
    assert (report.job, report.source, report.stop_reason) == (hostile, hostile, hostile)
