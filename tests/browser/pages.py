"""A user in a browser: signs in, opens pages, looks at them, uses the keyboard."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from axe_playwright_python.sync_playwright import Axe

if TYPE_CHECKING:
    from playwright.sync_api import FrameLocator, Page

_WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


class User(NamedTuple):
    """A user who signs in to Airflow."""

    name: str
    password: str


class Pages:
    """The browser of one user.

    :param page: its only tab
    :param screenshots: the folder for pictures
    """

    def __init__(self, page: "Page", screenshots: Path) -> None:
        self.page = page
        self.complaints: list[str] = []
        """Console messages about our own pages."""
        self._screenshots = screenshots
        page.on("console", self._hear)

    def sign_in(self, user: User) -> None:
        """Sign in with Airflow's own form."""
        self.page.goto("/auth/login")
        self.page.locator("input[name=username]").fill(user.name)
        self.page.locator("input[name=password]").fill(user.password)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url(lambda url: "/auth/" not in url)

    def open(self, path: str) -> int:
        """Open one of our own pages by itself; return the status of the response."""
        answer = self.page.goto(f"/retrofill{path}")
        assert answer is not None
        return answer.status

    def in_airflow(self, dag_id: str, dag_run_id: str) -> "FrameLocator":
        """Open our tab of a DAG run in Airflow; return the frame with our page."""
        self.page.goto(f"/dags/{dag_id}/runs/{quote(dag_run_id, safe='')}/plugin/retrofill")
        return self.page.frame_locator("iframe")

    def picture(self, name: str) -> None:
        """Take a screenshot of the whole page, for people to look at."""
        self._screenshots.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=self._screenshots / f"{name}.png", full_page=True)

    def barriers(self) -> list[str]:
        """Return the accessibility violations of the page, found by axe for WCAG 2 A and AA."""
        options = {"runOnly": {"type": "tag", "values": _WCAG}, "resultTypes": ["violations"]}
        found = Axe().run(self.page, options=options).response["violations"]
        return [
            f"{one['id']}: {node['html'][:160]} {node['failureSummary']}"
            for one in found
            for node in one["nodes"]
        ]

    def is_too_wide(self) -> bool:
        """Return whether the page must be scrolled sideways."""
        root = "document.documentElement"
        return bool(self.page.evaluate(f"{root}.scrollWidth > {root}.clientWidth"))

    def tab_to(self, text: str, *, most: int = 60) -> None:
        """Press Tab until an element with this text has the focus, like a user without a mouse."""
        for _ in range(most):
            self.page.keyboard.press("Tab")
            if self.focused() == text:
                return
        raise AssertionError(f"Tab does not reach {text!r}; at the end at {self.focused()!r}")

    def focused(self) -> str:
        """Return the text of the focused element; for a field, its label."""
        return str(
            self.page.evaluate(
                "(() => { const at = document.activeElement;"
                " return (at.labels?.[0] ?? at).textContent.trim().split('\\n')[0].trim(); })()"
            )
        )

    def _hear(self, message: object) -> None:
        text = f"{getattr(message, 'type', '')}: {getattr(message, 'text', message)}"
        if "Content Security Policy" in text or text.startswith("error: Uncaught"):
            self.complaints.append(text)
