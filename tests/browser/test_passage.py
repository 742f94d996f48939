"""A person's whole way: form, plan, approval, watching to the end, a batch's log, an item."""

import re
import time
from collections.abc import Callable

from stack.endpoint import S3Object
from tests.browser.pages import Pages
from tests.faults.world import World

DAG = "retrofill_s3"
JOB = "passage"
ITEM = "data/007.json"
OBJECTS = [S3Object(key=f"data/{number:03}.json") for number in range(40)]

FORM = {
    "Data source": {"bucket": JOB, "prefix": "data/"},
    "Function": {"items_per_call": "4"},
    "Function: Lambda": {"function": JOB},
    "Job and connections": {"job": JOB},
}
"""What is typed, by the section of the form."""


def start_by_form(pages: Pages, world: World) -> str:
    """Fill in Airflow's trigger form, and ask for approval; return the name of the DAG run."""
    page = pages.page
    before = {run["dag_run_id"] for run in world.airflow.dag_runs(DAG)}
    page.goto(f"/dags/{DAG}")
    page.get_by_role("button", name="Trigger").first.click()
    form = page.get_by_role("dialog")
    for section, fields in FORM.items():
        form.get_by_role("button", name=section, exact=True).click()
        for name, value in fields.items():
            form.locator(f"input[name=element_{name}]").fill(value)
        if section == "Function":
            form.locator("#element_event").click()
            page.get_by_role("option", name="s3", exact=True).click()
    form.get_by_role("button", name="Approval", exact=True).click()
    form.locator("label:has(input[name=element_approve])").click()
    pages.picture("form")
    form.get_by_role("button", name="Trigger", exact=True).click()
    limit = time.monotonic() + 60
    while not (new := {run["dag_run_id"] for run in world.airflow.dag_runs(DAG)} - before):
        assert time.monotonic() < limit, "no DAG run came of the form"
        page.wait_for_timeout(200)
    return str(new.pop())


def test_from_the_form_to_the_history_of_an_item(
    world: World, open_pages: Callable[..., Pages]
) -> None:
    world.serve(JOB, OBJECTS)
    before = world.endpoint.stats().invocations
    pages = open_pages("admin")
    page = pages.page
    name = start_by_form(pages, world)

    # The plan is in the run's tab; Airflow asks for the answer.
    tab = pages.in_airflow(DAG, name)
    tab.get_by_text("nothing is called until someone approves the plan").wait_for(timeout=180_000)
    assert re.search(r"\nitems\s+40\s+0\s", tab.locator("main").inner_text())
    pages.picture("plan")
    assert world.endpoint.stats().invocations == before
    tab.get_by_role("link", name="Approve or reject it in Airflow").click()
    page.wait_for_url("**/tasks/approve/required_actions")
    page.get_by_role("button", name="Approve", exact=True).click()
    world.await_row(
        "SELECT FROM retrofill.v_run WHERE job = %s AND approval ->> 'status' = 'approved'", JOB
    )

    # Watched to the end without a reload.
    tab = pages.in_airflow(DAG, name)
    tab.get_by_text("100 %").first.wait_for(timeout=180_000)
    tab.get_by_text("The run is over").wait_for(timeout=180_000)
    pages.picture("end")
    assert world.report(JOB)["status"] == "complete"

    # From the tab to the job, its item, and the log of the batch in Airflow.
    tab.get_by_role("link", name=JOB, exact=True).first.click()
    tab.get_by_label("Was this processed?").fill(ITEM)
    tab.get_by_role("button", name="Search").click()
    tab.get_by_role("link", name=ITEM).click()
    tab.get_by_role("heading", name=ITEM).wait_for()
    history = tab.locator("main").inner_text()
    assert "Called: succeeded" in history
    pages.picture("history")
    tab.get_by_role("link", name="Log of its batch in Airflow").click()
    page.wait_for_url("**/tasks/invoke/mapped/0**")
    page.get_by_text(re.compile(r"batch \d+ of run \d+")).first.wait_for()
    pages.picture("log")


def test_jobs_stand_in_the_navigation_of_airflow(open_pages: Callable[..., Pages]) -> None:
    pages = open_pages("viewer")
    pages.page.goto("/")
    pages.page.get_by_role("link", name="Retrofill jobs").click()
    frame = pages.page.frame_locator("iframe")
    frame.get_by_role("heading", name="Jobs", exact=True).wait_for()
    pages.picture("navigation")
