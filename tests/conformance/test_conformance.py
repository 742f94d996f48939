"""Every source obeys every law; one that does not is noticed."""

from collections.abc import Callable
from itertools import count, product

import pytest
from retrofill.sources.conformance import LAWS, Case, NotAsked

from tests.conformance.cases import CASES, World

_numbers = count()

_BREAKS_EACH_REQUEST = {"errors lose nothing", "throttles are waited for"}
_MAKES_MANY_REQUESTS = {"s3", "manifest: inventory", "manifest: batch operations"}


@pytest.fixture(scope="session")
def case_of(aws: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Case]:
    """Makes the data set of a case on first use."""
    made: dict[str, Case] = {}

    def case_of(name: str) -> Case:
        if name not in made:
            root = tmp_path_factory.mktemp("rows")
            made[name] = CASES[name](World(aws, f"conformance-{next(_numbers)}", root))
        return made[name]

    return case_of


def _marks(source: str, law: str) -> list[pytest.MarkDecorator]:
    slow = law in _BREAKS_EACH_REQUEST and source in _MAKES_MANY_REQUESTS
    return [pytest.mark.faults] if slow else []


@pytest.mark.parametrize(
    ("source", "law"),
    [pytest.param(*pair, marks=_marks(*pair)) for pair in product(CASES, LAWS)],
)
def test_a_source_obeys_the_law(source: str, law: str, case_of: Callable[[str], Case]):
    try:
        LAWS[law](case_of(source))
    except NotAsked:
        pytest.skip("it has no requests or settings to which the law applies")
