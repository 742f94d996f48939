"""Pages as responses: HTML that runs no script and loads no file of anyone else."""

import secrets
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse

from retrofill.web.rendering import Shell, render


def root_of(request: Request) -> str:
    """Return the path at which Airflow serves the pages."""
    return str(request.scope.get("root_path", ""))


def respond(
    request: Request, template: str, *, code: int = 200, refresh_s: int = 0, **values: Any
) -> HTMLResponse:
    """Return the page that a template makes of some values.

    :param refresh_s: seconds until the page reads itself again; 0: never
    """
    shell = Shell(root_of(request), secrets.token_urlsafe(16))
    policy = (
        f"default-src 'none'; style-src 'nonce-{shell.nonce}'; script-src 'nonce-{shell.nonce}';"
        " connect-src 'self'; form-action 'self'; frame-ancestors 'self'; base-uri 'none'"
    )
    headers = {
        "Content-Security-Policy": policy,
        "Cache-Control": "no-store",
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
    }
    html = render(template, shell, refresh_s=refresh_s, **values)
    return HTMLResponse(html, code, headers)
