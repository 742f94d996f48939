"""The checks at the end of the demo, each with the expected and the actual value."""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from demo.functions.word_count import output_folder
from demo.runs import RunCounts

_NAMED_AT_MOST = 3


@dataclass(frozen=True)
class Check:
    """A claim, and whether it holds."""

    claim: str
    expected: object
    seen: object

    @property
    def held(self) -> bool:
        """Whether the two values are equal."""
        return self.expected == self.seen


def counts_are(claim: str, run: RunCounts, **expected: object) -> Check:
    """Compare some of the counts of a run with the expected ones."""
    return Check(claim, expected, {name: getattr(run, name) for name in expected})


def exactly_one_output(claim: str, keys: Collection[str], folders: Iterable[str]) -> Check:
    """Compare the keys of objects with the folders of all outputs."""
    outputs = Counter(folders)
    counts = {key: outputs.pop(output_folder(key), 0) for key in keys}
    seen = [f"{sum(count == 1 for count in counts.values()):,} with one output"]
    for found, what in (
        ([key for key, count in counts.items() if count == 0], "without output"),
        ([key for key, count in counts.items() if count > 1], "with several outputs"),
    ):
        if found:
            names = [*map(repr, found[:_NAMED_AT_MOST]), *["…"][: len(found) > _NAMED_AT_MOST]]
            seen.append(f"{len(found):,} {what} ({', '.join(names)})")
    if outputs:
        seen.append(f"{outputs.total():,} outputs of unknown objects")
    return Check(claim, f"{len(keys):,} with one output", "; ".join(seen))
