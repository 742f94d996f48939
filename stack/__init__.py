"""The embedded stack: Postgres, MiniStack and Airflow on this machine, for demo and tests."""
