"""Show the main job, end to end, on a stack on this machine: ``python -m demo``."""

import secrets
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape

from demo.aws import Aws
from demo.checks import Check
from demo.runs import run_view
from demo.stopwatch import Stopwatch
from demo.story import Story, TriggerSilentError
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

    def say_small(text: str) -> None:
        console.print(escape(text), style="dim", soft_wrap=True)

    console.print("[bold]A stack on this machine:[/] PostgreSQL, an emulator of AWS, Airflow")
    try:
        with running_stack(say_small) as settings:
            stopwatch.note("stack")
            checks = _play(console, stopwatch, settings)
            held = _tell_checks(console, checks)
    except KeyboardInterrupt:
        console.print("stopped")
        return _INTERRUPTED
    except _FAILURES as error:
        console.print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True)
        return 1
    stopwatch.note("stop")
    console.print(f"\n[bold]{stopwatch.total:.0f} s:[/] {stopwatch}")
    console.print(f"[bold]Look further:[/] make up, if it is not up; then {settings.airflow_url}")
    login = f"{settings.user} / {settings.password}"
    console.print(f"  login {login}: the DAG retrofill_s3, its two runs, the logs of invoke")
    return 0 if held else 1


def _play(console: Console, stopwatch: Stopwatch, settings: Settings) -> list[Check]:
    if not settings.aws_embedded:
        raise StackError(
            "the demo creates buckets and a function, only in the stack's own emulator: unset"
            " AWS_ENDPOINT_URL and AIRFLOW_CONN_AWS_DEFAULT"
        )
    aws = Aws(settings, f"demo-{secrets.token_hex(4)}")
    with AirflowApi(settings) as airflow, run_view(settings.state_dsn) as view:
        return Story(console, stopwatch, aws=aws, airflow=airflow, view=view).play()


def _tell_checks(console: Console, checks: Sequence[Check]) -> bool:
    """Print what passed and what did not; return whether all did."""
    console.print()
    for check in checks:
        if check.held:
            console.print(f"[green]✓[/] {escape(check.claim)}")
        else:
            console.print(f"[bold red]✗ {escape(check.claim)}[/]", soft_wrap=True)
            console.print(f"    expected: {escape(str(check.expected))}", soft_wrap=True)
            console.print(f"    seen:     {escape(str(check.seen))}", soft_wrap=True)
    return all(check.held for check in checks)


if __name__ == "__main__":
    sys.exit(main())
