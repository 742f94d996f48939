"""Data sets for lineage, named after OpenLineage's rules for the kind of source."""

from typing import Any

import pytest
from retrofill.config import params_for

FUNCTION = {"function": "f"}


@pytest.mark.parametrize(
    ("source", "params", "datasets"),
    [
        ("s3", {"bucket": "photos", "prefix": "in/"}, [("s3://photos", "in/")]),
        ("s3", {"bucket": "photos", "prefix": ""}, [("s3://photos", "/")]),
        (
            "manifest",
            {"bucket": "photos", "manifest": "s3://lists/m.csv"},
            [("s3://photos", "/"), ("s3://lists", "m.csv")],
        ),
        ("rows", {"files": "s3://data/a/*.csv"}, [("s3://data", "a/*.csv")]),
        ("rows", {"files": "/data/a.csv"}, [("file", "/data/a.csv")]),
        ("memory", {}, [("memory://items", "1,000 items in memory")]),
    ],
)
def test_a_source_names_its_data_sets(
    source: str, params: dict[str, Any], datasets: list[tuple[str, str]]
) -> None:
    config, _ = params_for(source).salvage({**params, **FUNCTION})
    assert config.source.datasets() == datasets
