"""Job files: what a good one becomes, and where each mistake is reported."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from retrofill.config import params_for
from retrofill.jobs import FOLDER, folder_of, load_job, load_jobs, others
from retrofill.model.errors import ConfigError

GOOD = """\
source: s3
schedule: "@daily"
start_date: 2026-01-01
params:
  bucket: my-photos
  prefix: in/
  function: resize
  modified_before: 2026-02-01T00:00:00Z
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "retrofill_photos.yaml"
    path.write_text(text)
    return path


def test_a_good_file_is_a_job(tmp_path: Path) -> None:
    job = load_job(write(tmp_path, GOOD))
    assert not job.problems
    assert job.fields is not None
    fields = job.fields
    assert (job.name, fields.times, fields.catchup) == ("retrofill_photos", "@daily", False)
    assert fields.start == datetime(2026, 1, 1, tzinfo=UTC)
    assert params_for("s3").config(fields.params).source.label().startswith("s3://my-photos/")


def test_the_example_is_not_a_job_until_it_is_copied(tmp_path: Path) -> None:
    example = FOLDER / "retrofill_daily.yaml.example"
    assert load_jobs(FOLDER) == []
    shutil.copy(example, tmp_path)
    assert load_jobs(tmp_path) == []
    shutil.copy(example, tmp_path / example.stem)
    [job] = load_jobs(tmp_path)
    assert (job.name, job.problems) == ("retrofill_daily", ())


@pytest.mark.parametrize("text", ["kind: Job\n", "{{ a template }}", "", GOOD])
def test_another_yaml_file_is_not_a_job(tmp_path: Path, text: str) -> None:
    write(tmp_path, GOOD)
    (tmp_path / "theirs.yaml").write_text(text)
    assert [job.name for job in load_jobs(tmp_path)] == ["retrofill_photos"]
    assert others(tmp_path) == ["theirs.yaml"]


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        ("source: s3", "source: s4", "photos.yaml:1: source: 's4' is not allowed; give one of s3"),
        ("source: s3\n", "", "photos.yaml:1: source: it is missing"),
        ("@daily", "every day", "photos.yaml:2: schedule: 'every day' is not allowed; give a cron"),
        ("@daily", "@once", "photos.yaml:2: schedule: '@once'"),
        (
            "@daily",
            "0 0 31 2 *",
            "photos.yaml:2: schedule: '0 0 31 2 *' is not allowed; give a time that exists",
        ),
        (
            "@daily",
            "0 0 3 * * *",
            "photos.yaml:2: schedule: '0 0 3 * * *' is not allowed; give a cron",
        ),
        ("@daily", "R 3 * * *", "photos.yaml:2: schedule: 'R 3 * * *' is not allowed; give a cron"),
        ("@daily", "", "photos.yaml:2: schedule: '' is not allowed; give a cron"),
        (
            '"@daily"',
            "",
            "photos.yaml:2: schedule: None is not allowed; give a cron expression of 5 fields",
        ),
        (
            '"@daily"',
            "{assets: x}",
            "photos.yaml:2: schedule: {'assets': 'x'} is not allowed; give a list of URIs",
        ),
        (
            '"@daily"',
            "{assets: [x]}",
            "schedule: {'assets': ['x']} is not allowed; give URIs in ASCII, such as",
        ),
        (
            '"@daily"',
            "none\ncatchup: true",
            "photos.yaml:3: catchup: True is not allowed without",
        ),
        (
            "start_date: 2026-01-01\n",
            "",
            "photos.yaml:1: start_date: it is missing; a cron exp",
        ),
        ("2026-01-01\n", "soon\n", "photos.yaml:3: start_date: 'soon' is not allowed; give a date"),
        (
            "2026-01-01\n",
            "2026-02-30\n",
            "photos.yaml:3: start_date: '2026-02-30' is not allowed; day",
        ),
        (
            "2026-01-01\n",
            "20260101\n",
            "photos.yaml:3: start_date: 20260101 is not allowed; give a date",
        ),
        (
            "start_date",
            "catchup: 1\nstart_date",
            "photos.yaml:3: catchup: 1 is not allowed; it must be a",
        ),
        ("params:", "params: 5\nx:", "photos.yaml:4: params: 5 is not allowed; it must be a v"),
        ("  bucket: my-photos", "  buckett: my-photos", "photos.yaml:5: buckett: there is no such"),
        (
            "resize",
            "resize\n  items_per_call: 0",
            "photos.yaml:8: items_per_call: 0 is not allowed; give",
        ),
        ("  prefix: in/", "  bucket: in", "photos.yaml:6: it is not YAML (bucket appears twice)"),
        ("start_date", "begin", "photos.yaml:3: begin: there is no such field"),
        ("params:", "params: {", "it is not YAML"),
        ("schedule:", "schedule: @daily #", "photos.yaml:2: it is not YAML (found character '@'"),
        ("  prefix: in/\n", "", "photos.yaml:4: prefix: it is empty"),
        ("  prefix: in/", "  schedule: in/", "photos.yaml:6: schedule: there is no such param"),
        ("  prefix: in/", "  ? [a]\n  : b", "photos.yaml:6: it is not YAML (a name is missing)"),
        ("  prefix: in/", "  7: in/", "photos.yaml:6: 7: there is no such param"),
        ("  prefix: in/", "  prefix: !!timestamp x", "photos.yaml: it is not YAML"),
        ("  prefix: in/", "  whole_bucket: !!bool x", "photos.yaml: it is not YAML"),
        ("  prefix: in/", "  prefix: !!python/name:os.system", "photos.yaml:6: it is not YAML"),
        (
            "T00:00:00Z",
            "",
            "photos.yaml:8: modified_before: '2026-02-01' is not allowed; give a date and",
        ),
    ],
)
def test_a_mistake_is_reported_with_its_line(
    tmp_path: Path, good: str, bad: str, said: str
) -> None:
    assert good in GOOD
    job = load_job(write(tmp_path, GOOD.replace(good, bad)))
    assert any(said in problem for problem in job.problems), job.problems


@pytest.mark.parametrize("text", ["", "- a\n", "params:\n"])
def test_a_file_without_fields_lists_the_required_ones(tmp_path: Path, text: str) -> None:
    problems = load_job(write(tmp_path, text)).problems
    assert any(": schedule: " in problem for problem in problems)
    assert any(": params: " in problem for problem in problems)


def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    path.write_bytes(b"\xff\xfe")
    [problem] = load_job(path).problems
    assert problem.startswith("retrofill_photos.yaml: it is not YAML")


def test_a_folder_instead_of_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "retrofill_folder.yaml").mkdir()
    [job] = load_jobs(tmp_path)
    assert "Is a directory" in job.problems[0]


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("retrofill_my photos.yaml", "retrofill_my_photos"),
        ("retrofill_photos.yml", "retrofill_photos.yml"),
        ("retrofill_été.yaml", "retrofill__t_"),
    ],
)
def test_a_name_that_no_dag_can_have_is_refused(tmp_path: Path, file: str, name: str) -> None:
    (tmp_path / file).write_text(GOOD)
    [job] = load_jobs(tmp_path)
    assert job.name == name
    assert job.problems[0].startswith(
        f"{file}: the file name is not allowed; give a name of letters"
    )


@pytest.mark.parametrize("schedule", ["0 3 * * *", "*/15 * * * mon-fri", "@monthly", "@quarterly"])
def test_schedules(tmp_path: Path, schedule: str) -> None:
    job = load_job(write(tmp_path, GOOD.replace("@daily", schedule)))
    assert job.fields is not None
    assert (job.fields.times, job.problems) == (schedule, ())


def test_a_job_may_have_no_schedule_or_assets(tmp_path: Path) -> None:
    text = GOOD.replace("start_date: 2026-01-01\n", "")
    none = load_job(write(tmp_path, text.replace('"@daily"', "none")))
    assert none.fields is not None
    assert (none.fields.times, none.fields.assets, none.fields.start) == ("", (), None)
    uris = ("s3://photos/done", "retrofill://jobs/a%20b")
    listed = "".join(f"\n  - {uri}" for uri in uris)
    by_assets = write(tmp_path, text.replace('"@daily"', f"\n  assets:{listed}"))
    job = load_job(by_assets)
    assert job.fields is not None
    assert (job.fields.assets, job.problems) == (uris, ())
    by_assets.write_text(by_assets.read_text() + "  use_data_interval: true\n")
    (problem,) = load_job(by_assets).problems
    assert problem.startswith(
        "retrofill_photos.yaml:11: use_data_interval: this DAG run has no data interval; trigger it"
    )


@pytest.mark.parametrize("name", ["retrofill_maintenance", "retrofill_s3"])
def test_a_name_of_another_retrofill_dag_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{name}.yaml"
    path.write_text(GOOD)
    job = load_job(path)
    assert job.name != name
    assert job.problems == (f"{name}.yaml: {name} is the name of another DAG; choose another name",)


def test_one_bad_file_does_not_hide_the_others(tmp_path: Path) -> None:
    (tmp_path / "retrofill_bad.yaml").write_text("schedule: [")
    write(tmp_path, GOOD)
    assert [bool(job.problems) for job in load_jobs(tmp_path)] == [True, False]


def test_the_folder_of_job_files_is_a_setting(tmp_path: Path) -> None:
    assert folder_of(str(tmp_path)) == tmp_path
    assert folder_of("") == folder_of(None) == FOLDER


@pytest.mark.parametrize("setting", ["jobs", "/is/not/there", __file__])
def test_a_bad_folder_setting_is_reported_with_what_is_allowed(setting: str) -> None:
    with pytest.raises(
        ConfigError, match=f"jobs_folder: '{setting}' is not allowed; give the absolute path"
    ):
        folder_of(setting)
