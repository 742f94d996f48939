"""The drawn tree of errors is the tree of their classes."""

import ast
import re
from pathlib import Path

from retrofill.model import errors

PRODUCT = Path(__file__).parents[2] / "include/retrofill"
ROOT = "RetrofillError"
_BRANCH = re.compile(r"^(?P<before>(?:[│ ] {3})*)[├└]── (?P<name>\w+)", re.MULTILINE)


def drawn(text: str) -> dict[str, str]:
    """Return the parent of each class below the root of a drawn tree."""
    above, parents = [ROOT], {}
    for branch in _BRANCH.finditer(text):
        depth = len(branch["before"]) // 4 + 1
        above[depth:] = [branch["name"]]
        parents[branch["name"]] = above[depth - 1]
    return parents


def defined() -> dict[str, str]:
    """Return the parent of each class of the product that derives from the root."""
    parents = {
        node.name: ast.unparse(base).rpartition(".")[2]
        for path in PRODUCT.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
        for base in node.bases
    }

    def comes_from_root(name: str) -> bool:
        return name == ROOT or (name in parents and comes_from_root(parents[name]))

    return {name: parent for name, parent in parents.items() if comes_from_root(parent)}


def test_the_drawn_tree_is_the_tree_of_classes() -> None:
    found = defined()
    assert len(found) > 10
    assert drawn(errors.__doc__ or "") == found


def test_each_depth_of_a_tree_is_read() -> None:
    tree = f"{ROOT}\n├── A   a\n│   ├── B   b\n│   │   └── C  c\n│   └── D\n└── E\n    └── F\n"
    assert drawn(tree) == {"A": ROOT, "B": "A", "C": "B", "D": "A", "E": ROOT, "F": "E"}
