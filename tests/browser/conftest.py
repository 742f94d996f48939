"""Headless Chromium on a separate stack, with an admin, an editor and a viewer."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stack.endpoint import Script
from stack.scripted import scripted_stack
from tests.browser.pages import Pages, User
from tests.faults.notices import noticing
from tests.faults.observed_airflow import ObservedAirflow
from tests.faults.world import World

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = "RETROFILL_CHROMIUM"
"""The variable that names Chromium's program if it is not on the path."""

SCREENSHOTS = Path(__file__).parents[2] / ".stack" / "screenshots"
_USERS = {"admin": "admin", "editor": "user", "viewer": "viewer"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder: each waits for Airflow and Chromium."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def _chromium() -> Iterator["Browser"]:
    names = (os.environ.get(CHROMIUM, ""), "chromium", "chromium-browser", "google-chrome")
    program = next((found for name in names if name and (found := shutil.which(name))), None)
    if program is None:
        # These tests run only on request: green must mean that the pages were seen.
        pytest.fail(
            f"no Chromium found: install the package chromium, or set its program in {CHROMIUM}",
            pytrace=False,
        )
    from playwright.sync_api import sync_playwright  # noqa: PLC0415  only where it is used

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def world(_chromium: "Browser", tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The stack, with a bucket and a function of the scripted endpoint."""
    users = ",".join(f"{name}:{role}" for name, role in _USERS.items())
    dags = tmp_path_factory.mktemp("dags")
    with noticing() as notices:
        config = {"path": notices.apprise_url, "tag": "all"}
        connection = {"conn_type": "apprise", "extra": {"config": config}}
        environment = {
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": users,
            "AIRFLOW_CONN_NOTICES": json.dumps(connection),
        }
        with (
            scripted_stack(Script(), dags=dags, environment=environment) as (settings, endpoint),
            ObservedAirflow(settings) as airflow,
        ):
            airflow.unpause("retrofill_s3", within_s=120)
            yield World(settings, endpoint, airflow, notices)


@pytest.fixture(scope="session")
def users(world: World) -> dict[str, User]:
    """The users, by name; Airflow generates their passwords when it starts."""
    file = world.settings.directory / "airflow" / "passwords.json"
    passwords = json.loads(file.read_text())
    return {name: User(name, passwords[name]) for name in _USERS}


@pytest.fixture
def open_pages(
    _chromium: "Browser", world: World, users: dict[str, User]
) -> Iterator[Callable[..., Pages]]:
    """Return a function that opens a browser, by user (empty: none), width and colour scheme."""
    opened: list[Pages] = []

    def opening(name: str = "admin", *, width: int = 1280, dark: bool = False) -> Pages:
        context = _chromium.new_context(
            base_url=world.settings.airflow_url,
            viewport={"width": width, "height": 860},
            color_scheme="dark" if dark else "light",
        )
        context.set_default_timeout(60_000)
        pages = Pages(context.new_page(), SCREENSHOTS)
        opened.append(pages)
        if name:
            pages.sign_in(users[name])
        return pages

    yield opening
    for pages in opened:
        pages.page.context.close()
