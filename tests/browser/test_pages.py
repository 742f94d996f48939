"""Each page by itself: who may see it, in light, dark, wide and narrow, and by keyboard."""

import time
from collections.abc import Callable
from urllib.parse import quote

import httpx
import pytest

from stack.endpoint import Reply, Rule, S3Object
from tests.browser.pages import Pages
from tests.faults.world import World

DAG = "retrofill_s3"
JOB = "photos"
POISON = "data/poison <b>.json"
KEYS = [POISON, *(f"data/{number:03}.json" for number in range(30))]
ITEM = "data/007.json"

Opening = Callable[..., Pages]


class Seen:
    """A job that has run to its end, with one item in quarantine; and where its pages are."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.params = world.serve(JOB, [S3Object(key=key) for key in KEYS])
        world.break_with(Rule(keys=frozenset({POISON}), reply=Reply(function_error="ValueError")))
        world.trigger("first", self.params)
        ended = world.airflow.await_end(DAG, "first")
        assert ended == "success", "\n".join(world.airflow.failures(DAG, "first"))
        ((self.job_id,),) = world.rows("SELECT job_id FROM retrofill.job WHERE name = %s", JOB)
        ((identifier,),) = world.rows(
            "SELECT identifier::text FROM retrofill.results WHERE item_key = %s", ITEM
        )
        job = f"/jobs/{self.job_id}"
        self.paths = {
            "jobs": "/jobs",
            "job": job,
            "items": f"{job}/items?key=data/",
            "item": f"{job}/items/{identifier}?key={quote(ITEM)}",
            "run": f"/dags/{DAG}/runs/first",
            "quarantine": f"{job}/quarantine",
        }


@pytest.fixture(scope="module")
def seen(world: World) -> Seen:
    return Seen(world)


def test_nobody_sees_a_page_without_signing_in(seen: Seen, open_pages: Opening) -> None:
    pages = open_pages("")
    for path in seen.paths.values():
        assert pages.open(path) == 401
        assert JOB not in pages.page.content()
        posted = httpx.post(
            f"{seen.world.settings.airflow_url}/retrofill{path}", data={"action": "stop"}
        )
        assert posted.status_code in {401, 405}, path


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 430])
def test_a_page_keeps_nobody_from_using_it(
    seen: Seen, open_pages: Opening, width: int, *, dark: bool
) -> None:
    pages = open_pages(width=width, dark=dark)
    barriers = {}
    for name, path in seen.paths.items():
        assert pages.open(path) == 200, name
        pages.picture(f"{name}-{width}{'-dark' if dark else ''}")
        barriers[name] = pages.barriers()
        assert not pages.is_too_wide(), name
    assert {name: found for name, found in barriers.items() if found} == {}
    assert pages.complaints == []


def test_a_viewer_sees_all_and_may_do_nothing(seen: Seen, open_pages: Opening) -> None:
    pages = open_pages("viewer")
    for path in seen.paths.values():
        assert pages.open(path) == 200
        assert pages.page.locator("form[method=post]").count() == 0
    refused = pages.page.request.post(
        f"/retrofill{seen.paths['run']}",
        form={"action": "stop"},
        headers={"Origin": seen.world.settings.airflow_url},
    )
    assert refused.status == 403


def test_from_jobs_to_the_history_of_an_item_without_a_mouse(
    seen: Seen, open_pages: Opening
) -> None:
    pages = open_pages("viewer")
    pages.open("/jobs")
    pages.tab_to("Name, source or function contains")
    pages.page.keyboard.type("PHOT")
    pages.page.keyboard.press("Enter")
    pages.page.wait_for_url("**/jobs?q=PHOT*")
    pages.tab_to(JOB)
    pages.page.keyboard.press("Enter")
    pages.page.wait_for_url(f"**/jobs/{seen.job_id}")
    pages.tab_to("Was this processed? Enter the key of an item, or its start")
    pages.page.keyboard.type(ITEM)
    pages.page.keyboard.press("Enter")
    pages.page.wait_for_url("**/items?key=*")
    pages.tab_to(ITEM)
    pages.page.keyboard.press("Enter")
    pages.page.wait_for_url("**/items/*")
    history = pages.page.locator("main").inner_text()
    assert "processed" in history
    assert "Called: succeeded" in history
    assert "UTC" in history
    (told,) = seen.world.rows(
        "SELECT call.request_id FROM retrofill.results AS item JOIN retrofill.v_call AS call"
        " USING (batch_id, call_no) WHERE item.item_key = %s", ITEM,
    )  # fmt: skip
    assert told.request_id in history


def test_a_button_and_a_refresh_keep_focus_and_scroll(seen: Seen, open_pages: Opening) -> None:
    world = seen.world
    params = world.serve("slow", 3_000, latency=0.5)
    world.trigger("slow", params | {"max_concurrency": 1})
    world.await_row("SELECT FROM retrofill.v_run WHERE job = 'slow' AND succeeded > 0")
    pages = open_pages("editor")
    pages.open(f"/dags/{DAG}/runs/slow")
    pages.tab_to("Pause")
    pages.page.evaluate("scrollTo(0, 120)")
    pages.page.keyboard.press("Enter")
    pages.page.locator("button", has_text="Resume").wait_for()
    assert pages.focused() == "Resume"
    assert pages.page.evaluate("scrollY") == 120
    world.await_row("SELECT FROM retrofill.run WHERE limits -> 'paused' = 'true'")
    read = pages.page.locator("footer time")
    before = read.get_attribute("datetime")
    limit = time.monotonic() + 30
    while read.get_attribute("datetime") == before:
        assert time.monotonic() < limit, "it was not read again"
        pages.page.wait_for_timeout(200)
    assert pages.focused() == "Resume"
    assert pages.page.evaluate("scrollY") == 120

    # What is not allowed is said beside what was typed.
    field = pages.page.get_by_role("spinbutton", name="Concurrent calls", exact=True)
    field.evaluate("field => field.removeAttribute('max')")
    field.fill("1000000")
    field.press("Enter")
    pages.page.get_by_text("Nothing was changed. max_concurrency").wait_for()
    assert field.input_value() == "1000000"

    pages.page.locator("summary", has_text="Stop").click()
    pages.page.get_by_role("button", name="Stop this run").click()
    world.await_row(
        "SELECT FROM retrofill.v_run WHERE job = 'slow' AND stop_reason LIKE 'stopped by %%'"
    )
    world.await_row("SELECT FROM retrofill.v_run WHERE job = 'slow' AND status <> 'open'")
