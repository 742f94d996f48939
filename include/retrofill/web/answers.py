"""Answers of pages: HTML that lets nothing else run, and what a page around all pages needs."""

import secrets

from fastapi import Request
from fastapi.responses import HTMLResponse

from retrofill.web.rendering import Shell, render_message


def shell_of(request: Request) -> Shell:
    """Return what the page around an answer to this request needs."""
    return Shell(request.scope.get("root_path", ""), secrets.token_urlsafe(16))


def answer(html: str, shell: Shell, code: int = 200) -> HTMLResponse:
    """Return a page as an answer."""
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
    return HTMLResponse(html, code, headers)


def say(
    request: Request, title: str, text: str, *, code: int = 200, look_s: int = 0
) -> HTMLResponse:
    """Answer with one message.

    :param look_s: seconds to the next look; 0: never
    """
    shell = shell_of(request)
    return answer(render_message(title, text, look_s=look_s, shell=shell), shell, code)
