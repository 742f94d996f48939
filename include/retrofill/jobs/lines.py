"""The YAML of a job file: its value, and the line of each of its fields."""

from pathlib import Path
from typing import Any

import yaml

_TIMESTAMP = "tag:yaml.org,2002:timestamp"


class _Loader(yaml.SafeLoader):
    """Reads a time as the text that it is, as JSON does: its field knows more of it."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class Lines:
    """A YAML file: its value, and the line of each of its fields.

    :raises yaml.YAMLError: it is not YAML, or names a field twice
    """

    def __init__(self, path: Path) -> None:
        self._file = path.name
        self._line_of: dict[str, int] = {}
        self._line_of_param: dict[str, int] = {}
        self.value: dict[str, Any] = {}
        loader = _Loader(path.read_text(encoding="utf-8"))
        try:
            root = loader.get_single_node()
            if isinstance(root, yaml.MappingNode):
                self._note(root, self._line_of)
                self.value = loader.construct_document(root)
        finally:
            loader.dispose()

    def _note(self, node: yaml.MappingNode, lines: dict[str, int]) -> None:
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(
                    problem="a name was expected", problem_mark=key.start_mark
                )
            if key.value in lines:
                raise yaml.MarkedYAMLError(
                    problem=f"{key.value} stands twice", problem_mark=key.start_mark
                )
            lines[key.value] = key.start_mark.line + 1
            params = key.value == "params" and lines is self._line_of
            if params and isinstance(value, yaml.MappingNode):
                self._note(value, self._line_of_param)

    def say(self, name: str, what: str) -> str:
        """Return a sentence about a field, with file and line."""
        return f"{self._file}:{self._line_of.get(name, 1)}: {name}: {what}"

    def say_of_param(self, name: str, what: str) -> str:
        """Return a sentence about a param, with file and line; where all begin, if it misses."""
        line = self._line_of_param.get(name, self._line_of.get("params", 1))
        return f"{self._file}:{line}: {name}: {what}"
