"""The Airflow plugin: jobs in the navigation, and a run as a tab on the page of its DAG run."""

from airflow.plugins_manager import AirflowPlugin

from retrofill.web import page


class RetrofillPlugin(AirflowPlugin):
    """The pages, for Airflow."""

    name = "retrofill"
    fastapi_apps = [{"app": page, "url_prefix": "/retrofill", "name": "Retrofill"}]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        {
            "name": "Retrofill jobs",
            "href": "retrofill/jobs",
            "destination": "nav",
            "url_route": "retrofill-jobs",
        },
        {
            "name": "Retrofill",
            "href": "retrofill/dags/{DAG_ID}/runs/{RUN_ID}",
            "destination": "dag_run",
            "url_route": "retrofill",
        },
    ]
