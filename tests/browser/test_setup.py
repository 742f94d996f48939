"""The set-up in a browser: missing parts, the DAG that adds them, and the first steps."""

from collections.abc import Callable, Iterator

import pytest

from tests.browser.pages import Pages
from tests.faults.world import World

MIGRATION = "retrofill_migrate"

Opening = Callable[..., Pages]


@pytest.fixture
def empty(world: World) -> Iterator[World]:
    """The stack before its first migration."""
    world.change("ALTER SCHEMA retrofill RENAME TO kept")
    yield world
    world.change("DROP SCHEMA IF EXISTS retrofill CASCADE")
    world.change("ALTER SCHEMA kept RENAME TO retrofill")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 430])
def test_the_setup_page_is_accessible(
    world: World, open_pages: Opening, width: int, *, dark: bool
) -> None:
    pages, barriers = open_pages(width=width, dark=dark), {}
    for name in ("missing", "ready"):
        if name == "missing":
            world.change("ALTER SCHEMA retrofill RENAME TO kept")
        try:
            assert pages.open("/setup") == 200
        finally:
            if name == "missing":
                world.change("ALTER SCHEMA kept RENAME TO retrofill")
        pages.picture(f"setup-{name}-{width}{'-dark' if dark else ''}")
        barriers[name] = pages.barriers()
        assert not pages.is_too_wide(), name
    assert {name: found for name, found in barriers.items() if found} == {}
    assert pages.complaints == []


def test_from_missing_setup_to_the_first_steps(empty: World, open_pages: Opening) -> None:
    nobody = open_pages("")
    assert nobody.open("/setup") == 401
    assert "retrofill_state" not in nobody.page.content()

    pages = open_pages("viewer")
    pages.page.goto("/")
    pages.page.get_by_role("link", name="Retrofill jobs").click()
    frame = pages.page.frame_locator("iframe")
    frame.get_by_role("heading", name="Set-up", exact=True).wait_for()
    frame.get_by_text("The state's schema is at version 0").wait_for()
    link = frame.get_by_role("link", name=f"{MIGRATION} in Airflow")
    assert str(link.get_attribute("href")).endswith(f"/dags/{MIGRATION}")
    pages.picture("setup-instead-of-jobs")

    empty.airflow.unpause(MIGRATION, within_s=120)
    empty.airflow.trigger(MIGRATION, "first", {})
    assert empty.airflow.await_end(MIGRATION, "first") == "success"
    tab = pages.in_airflow(MIGRATION, "first")
    tab.get_by_text("This DAG run has no Retrofill run").wait_for()

    assert pages.open("/jobs") == 200
    pages.page.get_by_text("There is no job yet").wait_for()
    pages.picture("setup-begin")
    pages.tab_to("retrofill_s3")
    pages.page.keyboard.press("Enter")
    pages.page.wait_for_url("**/dags/retrofill_s3")

    pages.open("/jobs")
    pages.tab_to("Set-up")
    pages.page.keyboard.press("Enter")
    pages.page.wait_for_url("**/retrofill/setup")
    pages.page.get_by_text("How to begin").wait_for()
