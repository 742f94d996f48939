"""From a group in quarantine to the history of an item that was redriven, as an editor."""

from collections.abc import Callable
from urllib.parse import quote

import pytest

from stack.endpoint import Reply, Rule, S3Object
from tests.browser.pages import Pages
from tests.faults.world import World

DAG = "retrofill_s3"
JOB = "triage"
POISON = [f"data/poison-{number}.json" for number in range(3)]
OTHER = "data/other.json"
KEYS = [*POISON, OTHER, *(f"data/{number:03}.json" for number in range(12))]

Opening = Callable[..., Pages]


@pytest.fixture(scope="module")
def job(world: World) -> str:
    """Return the address of a job with two errors in quarantine, of which one is mended."""
    params = world.serve(JOB, [S3Object(key=key) for key in KEYS])
    other = Rule(keys=frozenset({OTHER}), reply=Reply(function_error="KeyError"))
    poison = Rule(keys=frozenset(POISON), reply=Reply(function_error="ValueError"))
    world.break_with(poison, other)
    world.trigger("triage", params)
    assert world.airflow.await_end(DAG, "triage") == "success"
    world.break_with(other)
    ((job_id,),) = world.rows("SELECT job_id FROM retrofill.job WHERE name = %s", JOB)
    return f"/jobs/{job_id}"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 430])
def test_the_pages_keep_nobody_from_using_them(
    job: str, open_pages: Opening, width: int, *, dark: bool
) -> None:
    pages = open_pages(width=width, dark=dark)
    barriers = {}
    for name, path in {
        "quarantine": f"{job}/quarantine",
        "redrive": f"{job}/redrive?error=ValueError",
        "successes": f"{job}/redrive?place=successes&key={quote('data/0*')}",
    }.items():
        assert pages.open(path) == 200
        pages.picture(f"{name}-{width}{'-dark' if dark else ''}")
        barriers[name] = pages.barriers()
        assert not pages.is_too_wide(), name
    assert {name: found for name, found in barriers.items() if found} == {}
    assert pages.complaints == []


def test_a_viewer_has_no_actions(job: str, world: World, open_pages: Opening) -> None:
    pages = open_pages("viewer")
    for path in (f"{job}/quarantine", f"{job}/redrive"):
        assert pages.open(path) == 200
        assert pages.page.locator("form[method=post]").count() == 0
    assert pages.page.get_by_role("link", name="Redrive these").count() == 0
    refused = pages.page.request.post(
        f"/retrofill{job}/redrive",
        form={"place": "quarantine", "note": "why"},
        headers={"Origin": world.settings.airflow_url},
    )
    assert refused.status == 403


def test_a_group_is_redriven_by_keyboard_and_its_items_say_so(
    job: str, world: World, open_pages: Opening
) -> None:
    pages = open_pages("editor")
    page = pages.page
    pages.open(f"{job}/quarantine")
    page.get_by_role("link", name="Redrive these: ValueError").focus()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Redrive from quarantine").wait_for()
    assert page.locator(".counted dd").first.inner_text() == "3"
    pages.tab_to("Why? This is kept with the run")
    page.keyboard.type("mended by hand")
    pages.tab_to("Redrive 3 items")
    page.keyboard.press("Enter")
    page.wait_for_url("**/runs/manual__*")
    page.get_by_text("The run is over").wait_for(timeout=180_000)
    assert world.report(JOB)["status"] == "complete"
    waiting = world.rows("SELECT item_key FROM retrofill.v_quarantine WHERE job = %s", JOB)
    assert waiting == [(OTHER,)]

    pages.open(f"{job}/quarantine")
    redrives = page.get_by_role("region", name="Redrives").inner_text()
    for said in ("mended by hand", "by editor", "complete", "error ValueError"):
        assert said in redrives
    assert page.get_by_role("heading", name="ValueError").count() == 0
    pages.picture("redriven")

    pages.open(f"{job}/items?key={quote(POISON[0])}")
    page.get_by_role("link", name=POISON[0]).click()
    page.get_by_role("heading", name=POISON[0]).wait_for()
    history = page.locator("main").inner_text()
    places = [history.index(word) for word in ("Quarantined by", "Redriven by", "Processed")]
    assert places == sorted(places)
