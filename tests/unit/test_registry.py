"""Kinds of other packages: found by their entry points, and refused if they are not kinds."""

from pathlib import Path

import pytest
from retrofill.model.registry import Registry

OURS = {"ours": 1}


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def installed(points: str, module: str = "theirs", text: str = "KIND = 2\n") -> None:
        (tmp_path / f"{module}.py").write_text(text)
        info = tmp_path / f"{module}-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Name: {module}\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[retrofill.tests]\n{points}\n")
        monkeypatch.syspath_prepend(tmp_path)

    return installed


def test_theirs_come_after_ours_by_name(install) -> None:
    install("b = theirs_b:KIND\na = theirs_b:KIND", "theirs_b")
    assert list(Registry(OURS, int, "retrofill.tests").items()) == [("ours", 1), ("a", 2), ("b", 2)]


def test_nothing_is_loaded_before_it_is_asked_for(install) -> None:
    install("x = theirs_c:KIND", "theirs_c", "raise RuntimeError('too early')\n")
    registry = Registry(OURS, int, "retrofill.tests")
    with pytest.raises(RuntimeError, match="too early"):
        len(registry)


def test_what_is_no_kind_is_refused(install) -> None:
    install("x = theirs_d:KIND", "theirs_d", "KIND = 'a text'\n")
    with pytest.raises(TypeError, match=r"entry point x .* is a str; allowed is a int"):
        list(Registry(OURS, int, "retrofill.tests"))


def test_a_name_of_ours_is_taken(install) -> None:
    install("ours = theirs_e:KIND", "theirs_e")
    with pytest.raises(TypeError, match=r"theirs_e:KIND registers ours .*, which is taken"):
        list(Registry(OURS, int, "retrofill.tests"))
