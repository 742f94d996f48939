"""What the tests of all DAGs share: an Airflow of their own, and a world for it to work in."""

from tests.dags.test_retrofill import airflow_environment, world

__all__ = ["airflow_environment", "world"]
