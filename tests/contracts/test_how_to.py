"""The recipes of docs/how-to can be copied and used."""

import json
import re
import shlex
from pathlib import Path

import pytest
import typer
from retrofill.cli.app import app
from retrofill.config import params_for
from retrofill.jobs import load_job
from retrofill.model.errors import ConfigError
from typer.core import TyperGroup

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [DOCS / "get-started.md", DOCS / "report-files.md", *sorted(DOCS.glob("how-to/*.md"))]
KIND_BY_PARAM = {"manifest": "manifest", "files": "rows", "bucket": "s3"}


def blocks(language: str) -> list[tuple[str, str]]:
    return [
        (page.name, text)
        for page in PAGES
        for text in re.findall(rf"```{language}\n(.*?)\n```", page.read_text(), re.DOTALL)
    ]


def commands() -> list[str]:
    lines = [
        line.partition(" #")[0]
        for page in [*PAGES, *DOCS.glob("operations/*.md")]
        for line in re.findall(
            r"(?:^|`)(?:python -m )?(retrofill [^`\n]+)", page.read_text(), re.MULTILINE
        )
    ]
    return sorted(set(lines))


@pytest.mark.parametrize(("page", "text"), blocks("json"))
def test_the_params_of_a_recipe_are_accepted(page: str, text: str) -> None:
    params = json.loads(text)
    kind = next(kind for param, kind in KIND_BY_PARAM.items() if param in params)
    assert params_for(kind).config(params).source_kind.name == kind, page


def test_a_param_that_does_not_exist_would_be_noticed() -> None:
    with pytest.raises(ConfigError, match="there is no such param"):
        params_for("s3").config({"bucket": "b", "prefix": "p", "function": "f", "speed": 1})


@pytest.mark.parametrize(("page", "text"), blocks("yaml"))
def test_the_job_file_of_a_recipe_is_accepted(page: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / "retrofill_recipe.yaml"
    path.write_text(text)
    assert load_job(path).problems == (), page


@pytest.mark.parametrize("command", commands())
def test_a_command_that_the_docs_show_exists_with_its_options(command: str) -> None:
    found, words = typer.main.get_command(app), shlex.split(command.replace("…", "x"))[1:]
    while isinstance(found, TyperGroup):
        found, words = found.commands[words[0]], words[1:]
    known = {option for param in found.params for option in param.opts}
    assert {word for word in words if word.startswith("--")} <= known
