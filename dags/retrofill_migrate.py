"""Migrate the state, where there is no shell: its schema, and the grants of its roles."""

from airflow.sdk import DAG  # noqa: F401  by this word Airflow knows a file that holds a DAG
from retrofill.workflow import migrate_dag

dag = migrate_dag(
    "retrofill_migrate",
    doc_md="""Bring the schema of Retrofill's state to the version of this code: once at the
    beginning, and after each update. Its log has the GRANT statements that the other roles need.
    It can be triggered again at any time: what is applied already is not applied again.""",
)
