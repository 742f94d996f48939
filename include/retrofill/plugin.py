"""The plugin of Airflow: Jobs in its navigation, a run as a tab of its DAG-run page."""

from airflow.plugins_manager import AirflowPlugin

from retrofill.web import page


class RetrofillPlugin(AirflowPlugin):
    """What Airflow is told of the pages."""

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
