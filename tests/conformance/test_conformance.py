"""Every source keeps every law; a source that does not is noticed."""

from collections.abc import Callable
from itertools import count

import pytest
from retrofill.sources.conformance import LAWS, Case, NotAsked

from tests.conformance.cases import CASES, World

_numbers = count()


@pytest.fixture(scope="session")
def case_of(aws: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Case]:
    """Makes the data set of a case when it is first asked for."""
    made: dict[str, Case] = {}

    def case_of(name: str) -> Case:
        if name not in made:
            root = tmp_path_factory.mktemp("rows")
            made[name] = CASES[name](World(aws, f"conformance-{next(_numbers)}", root))
        return made[name]

    return case_of


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("source", CASES)
def test_a_source_keeps_the_law(source: str, law: str, case_of: Callable[[str], Case]):
    try:
        LAWS[law](case_of(source))
    except NotAsked:
        pytest.skip("it makes no requests, or has no settings, that the law is about")
