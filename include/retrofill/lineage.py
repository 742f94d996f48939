"""Lineage: the input and output of a run, for Airflow's OpenLineage provider, which calls this."""

from typing import TYPE_CHECKING, Any

from retrofill.config import RunConfig
from retrofill.connections import open_state
from retrofill.state import runs

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage

JOBS = "retrofill://jobs"
"""The namespace of jobs. The output of a run is part of its job's data set."""


def lineage_of(dag_id: str, dag_run_id: str) -> "OperatorLineage[Any, Any] | None":
    """Return the lineage of the run of a DAG run; None: it has opened no run."""
    # The provider need not be installed.
    from airflow.providers.openlineage.extractors import OperatorLineage  # noqa: PLC0415
    from openlineage.client.event_v2 import InputDataset, OutputDataset  # noqa: PLC0415
    from openlineage.client.facet_v2 import (  # noqa: PLC0415
        input_statistics_input_dataset,
        output_statistics_output_dataset,
    )

    with open_state() as conn:
        ref = runs.find_set(conn, dag_id, dag_run_id)
        if ref is None:
            return None
        report = runs.get_report(conn, ref.run_id)
        config = RunConfig.from_stored(runs.get_run(conn, ref.run_id).config)
    read = input_statistics_input_dataset.InputStatisticsInputDatasetFacet(rowCount=report.listed)
    done = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
        rowCount=report.succeeded
    )
    return OperatorLineage(
        inputs=[
            InputDataset(namespace, name, inputFacets={"inputStatistics": read})
            for namespace, name in config.source.datasets()
        ],
        outputs=[OutputDataset(JOBS, report.job, outputFacets={"outputStatistics": done})],
    )
