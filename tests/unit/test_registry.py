"""Kinds of other packages are found by entry points; other objects are refused."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from retrofill.model.registry import Registry

OURS = {"ours": SimpleNamespace(name="ours")}
TEXT = """
from types import SimpleNamespace as Kind
KIND, A, B = Kind(name="x"), Kind(name="a"), Kind(name="b")
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def installed(points: str, module: str = "theirs", text: str = TEXT) -> None:
        (tmp_path / f"{module}.py").write_text(text)
        info = tmp_path / f"{module}-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Name: {module}\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[retrofill.tests]\n{points}\n")
        monkeypatch.syspath_prepend(tmp_path)

    return installed


def test_kinds_of_others_follow_ours_in_order_of_name(install) -> None:
    install("b = theirs_b:B\na = theirs_b:A", "theirs_b")
    found = Registry(OURS, SimpleNamespace, "retrofill.tests")
    assert [(name, kind.name) for name, kind in found.items()] == [
        ("ours", "ours"), ("a", "a"), ("b", "b"),
    ]  # fmt: skip


def test_kinds_are_loaded_on_first_use(install) -> None:
    install("x = theirs_c:KIND", "theirs_c", "raise RuntimeError('too early')\n")
    registry = Registry(OURS, SimpleNamespace, "retrofill.tests")
    with pytest.raises(RuntimeError, match="too early"):
        len(registry)


def test_other_objects_are_not_kinds(install) -> None:
    install("x = theirs_d:KIND", "theirs_d", "KIND = 'a text'\n")
    with pytest.raises(TypeError, match=r"entry point x .* is a str; give a SimpleNamespace"):
        list(Registry(OURS, SimpleNamespace, "retrofill.tests"))


def test_a_name_of_ours_cannot_be_reused(install) -> None:
    install("ours = theirs_e:KIND", "theirs_e")
    with pytest.raises(TypeError, match=r"theirs_e:KIND registers ours .*, but this name is taken"):
        list(Registry(OURS, SimpleNamespace, "retrofill.tests"))


def test_two_packages_of_one_name_are_refused(install) -> None:
    install("x = theirs_f:KIND", "theirs_f")
    install("x = theirs_g:KIND", "theirs_g")
    with pytest.raises(TypeError, match=r"registers x .*, but this name is taken"):
        list(Registry(OURS, SimpleNamespace, "retrofill.tests"))


def test_an_entry_point_with_another_name_than_its_kind_is_refused(install) -> None:
    install("y = theirs_h:KIND", "theirs_h")
    with pytest.raises(TypeError, match=r"theirs_h:KIND, is called 'x'; give both the same name"):
        list(Registry(OURS, SimpleNamespace, "retrofill.tests"))
