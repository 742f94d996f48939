"""Selections: stored, in words, and as params."""

from datetime import UTC, datetime

import pytest
from retrofill.config import params_for
from retrofill.model.errors import ConfigError
from retrofill.model.selection import Place, Selection
from retrofill.params.redrive import params_of
from retrofill.pipeline.select import select

MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

SELECTIONS = [
    Selection(),
    Selection(place=Place.SUCCESSES, version="7", after=MOMENT),
    Selection(error="T*|U", key="in/*", version="$LATEST", unsure=False),
    Selection(unsure=True, before=MOMENT),
]


@pytest.mark.parametrize("selection", SELECTIONS)
def test_a_selection_survives_storage_and_params(selection: Selection) -> None:
    assert Selection.from_json(selection.as_json()) == selection
    asked = params_of(selection, "why")
    config = params_for("s3").config({"bucket": "bucket", "prefix": "a", "function": "f", **asked})
    assert config.redrive.selection == selection
    assert config.redrive.redrive_note == "why"


def test_a_selection_is_described_in_words() -> None:
    assert [one.text for one in SELECTIONS] == [
        "quarantine: all of it",
        "successes: version 7, from 2026-01-02 03:04:05 UTC",
        "quarantine: error T*|U, key in/*, version $LATEST, not in doubt",
        "quarantine: before 2026-01-02 03:04:05 UTC, in doubt",
    ]


def test_a_selection_is_described_in_utc() -> None:
    selection = select(Place.QUARANTINE, after="2026-01-02T13:04:05+10:00")
    assert selection.text == "quarantine: from 2026-01-02 03:04:05 UTC"
    with pytest.raises(ConfigError, match=r"^after: .*: it is out of range; give"):
        select(Place.QUARANTINE, after="0001-01-01T00:00:00+14:00")


def test_a_single_error_of_a_selection_is_named_exactly() -> None:
    narrowed = Selection(key="in/*").with_error("Odd[*]")
    assert narrowed == Selection(key="in/*", error="Odd[[][*]]")
