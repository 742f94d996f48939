"""The YAML of a job file: its value, and the line of each of its fields."""

from pathlib import Path
from typing import Any

import yaml

_TIMESTAMP = "tag:yaml.org,2002:timestamp"


class _Loader(yaml.SafeLoader):
    """Reads times as text, as in JSON: their fields parse them."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIMESTAMP]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class Lines:
    """A YAML file: its value, and the line of each of its fields.

    :raises yaml.YAMLError: it is not YAML, or a field appears twice
    """

    def __init__(self, path: Path) -> None:
        self._file = path.name
        self._line_of: dict[tuple[str, ...], int] = {}
        self.value: dict[str, Any] = {}
        loader = _Loader(path.read_text(encoding="utf-8"))
        try:
            root = loader.get_single_node()
            if isinstance(root, yaml.MappingNode):
                self._note(root)
                self.value = loader.construct_document(root)
        finally:
            loader.dispose()

    def _note(self, node: yaml.MappingNode, *above: str) -> None:
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a name is missing", problem_mark=key.start_mark)
            place = (*above, key.value)
            if place in self._line_of:
                problem = f"{key.value} appears twice"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            self._line_of[place] = key.start_mark.line + 1
            if place == ("params",) and isinstance(value, yaml.MappingNode):
                self._note(value, "params")

    def say(self, what: str, *place: str) -> str:
        """Return a problem with its file, line and field.

        :param place: the name of a field; for a param, ``params`` and its name
        """
        line = self._line_of.get(place, self._line_of.get(place[:-1], 1))
        return f"{self._file}:{line}: {place[-1]}: {what}"
