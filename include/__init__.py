"""What Airflow mounts beside its DAGs: the product, and the recurring jobs."""
