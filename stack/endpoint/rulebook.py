"""Decide which rule of a script takes a call."""

import random
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from stack.endpoint.script import Operation, Rule, Script


class Taken(NamedTuple):
    """A rule that takes a call."""

    rule: Rule
    keys: list[str]
    """The keys of the call's items that the rule names; all of them, if it names none."""


class Rulebook:
    """The rules of a script, with their counters and random draws."""

    def __init__(self, script: Script) -> None:
        self._rules: dict[Operation, list[tuple[Rule, random.Random]]] = {}
        for number, rule in enumerate(script.rules):
            draws = random.Random(number)  # noqa: S311  no secret: they must be the same each time
            self._rules.setdefault(rule.operation, []).append((rule, draws))
        self._calls: Counter[tuple[Operation, str]] = Counter()
        self._arrivals: Counter[str] = Counter()
        self.reads_items = any(
            rule.keys or rule.arrivals is not None or rule.reply.fails_items
            for rule in script.rules
        )
        """Whether a rule needs the items of a call."""

    def take(
        self, operation: Operation, resource: str, keys: Sequence[str] = (), running: int = 0
    ) -> Taken | None:
        """Count a call and return the first rule that it meets, if any.

        :param keys: the keys of the call's items, if :attr:`reads_items`
        :param running: the number of running executions
        """
        if operation not in self._rules:
            return None
        self._calls[operation, ""] += 1
        self._calls[operation, resource] += 1
        self._arrivals.update(set(keys))
        for rule, draws in self._rules[operation]:
            if rule.resource and rule.resource != resource:
                continue
            if rule.calls is not None and self._calls[operation, rule.resource] not in rule.calls:
                continue
            if rule.above_in_flight is not None and running < rule.above_in_flight:
                continue
            named = self._named_by(rule, keys)
            if named is None:
                continue
            if rule.probability < 1 and draws.random() >= rule.probability:
                continue
            return Taken(rule, named)
        return None

    def _named_by(self, rule: Rule, keys: Sequence[str]) -> list[str] | None:
        """Return the keys that a rule names, or None if the call has none of them."""
        if not rule.keys and rule.arrivals is None:
            return list(keys)
        named = [
            key
            for key in keys
            if (not rule.keys or key in rule.keys)
            and (rule.arrivals is None or self._arrivals[key] in rule.arrivals)
        ]
        return named or None
