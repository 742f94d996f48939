"""The use cases: one module for each task of the DAG."""
