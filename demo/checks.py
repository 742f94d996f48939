"""The checks at the end of the demo, each with what was expected and what was seen."""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from demo.functions.word_count import output_folder
from demo.runs import RunCounts

_NAMED_AT_MOST = 3


@dataclass(frozen=True)
class Check:
    """A claim, and whether it held."""

    claim: str
    expected: object
    seen: object

    @property
    def held(self) -> bool:
        """Whether what was seen is what was expected."""
        return self.expected == self.seen


def counts_are(claim: str, run: RunCounts, **expected: object) -> Check:
    """Compare some of the counts of a run with the expected ones."""
    return Check(claim, expected, {name: getattr(run, name) for name in expected})


def exactly_one_output(claim: str, keys: Collection[str], folders: Iterable[str]) -> Check:
    """Compare the keys of objects with the folders of all outputs."""
    outputs = Counter(folders)
    counts = {key: outputs.pop(output_folder(key), 0) for key in keys}
    seen = [f"{sum(count == 1 for count in counts.values()):,} with one output"]
    without = [key for key, count in counts.items() if count == 0]
    if without:
        seen.append(f"{len(without):,} with none ({_named(without)})")
    repeated = [key for key, count in counts.items() if count > 1]
    if repeated:
        seen.append(f"{len(repeated):,} with more than one ({_named(repeated)})")
    if outputs:
        seen.append(f"{outputs.total():,} outputs of no object")
    return Check(claim, f"{len(keys):,} with one output", "; ".join(seen))


def _named(keys: list[str]) -> str:
    names = ", ".join(map(repr, keys[:_NAMED_AT_MOST]))
    return names if len(keys) <= _NAMED_AT_MOST else f"{names}, …"
