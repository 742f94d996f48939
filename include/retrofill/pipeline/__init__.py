"""The use cases, one module a task of the DAG."""
