"""The use cases: one module per task of the DAG, and per question that pages and commands ask."""
