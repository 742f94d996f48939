"""Show the main job, end to end, on a stack on this machine: ``python -m demo``."""

import secrets
import sys
from contextlib import closing

import psycopg2
from rich.console import Console
from rich.markup import escape

from demo.aws import Aws
from demo.checks import Check
from demo.story import Stopwatch, Story, TriggerSilentError
from demo.watch import RunFailedError
from stack.airflow_api import AirflowApi, ApiError, DagMissingError
from stack.settings import Settings, StackError
from stack.up import running_stack

_INTERRUPTED = 130
_FAILURES = (StackError, ApiError, DagMissingError, RunFailedError, TriggerSilentError)


def main() -> int:
    """Play the demo; return 0 only if all checks passed."""
    console = Console(highlight=False)
    stopwatch = Stopwatch()

    def say(text: str) -> None:
        console.print(escape(text), style="dim", soft_wrap=True)

    console.print("[bold]A stack on this machine:[/] PostgreSQL, an emulator of AWS, Airflow")
    try:
        with running_stack(say) as settings:
            stopwatch.note("stack")
            checks = _play(console, stopwatch, settings)
            console.print()
            for check in checks:
                _print_check(console, check)
    except KeyboardInterrupt:
        console.print("stopped")
        return _INTERRUPTED
    except _FAILURES as error:
        console.print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True)
        return 1
    stopwatch.note("stop")
    parts = ", ".join(f"{part} {seconds:.0f} s" for part, seconds in stopwatch.parts.items())
    console.print(f"\n[bold]{sum(stopwatch.parts.values()):.0f} s:[/] {parts}")
    console.print(f"[bold]Next:[/] start the stack with make up, and open {settings.airflow_url}")
    login = f"{settings.user} / {settings.password}"
    console.print(f"  login {login}: the DAG retrofill_s3, its two runs, the logs of invoke")
    return 0 if all(check.held for check in checks) else 1


def _play(console: Console, stopwatch: Stopwatch, settings: Settings) -> list[Check]:
    if not settings.aws_embedded:
        raise StackError(
            "AWS_ENDPOINT_URL or AIRFLOW_CONN_AWS_DEFAULT is set, but the demo creates buckets and"
            " a function only in the stack's own emulator: unset them"
        )
    aws = Aws(settings, f"demo-{secrets.token_hex(4)}")
    with AirflowApi(settings) as airflow, closing(psycopg2.connect(settings.state_dsn)) as conn:
        return Story(console, stopwatch, aws=aws, airflow=airflow, conn=conn).play()


def _print_check(console: Console, check: Check) -> None:
    if check.held:
        console.print(f"[green]✓[/] {escape(check.claim)}")
        return
    console.print(f"[bold red]✗ {escape(check.claim)}[/]", soft_wrap=True)
    console.print(f"    expected: {escape(str(check.expected))}", soft_wrap=True)
    console.print(f"    actual:   {escape(str(check.seen))}", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
