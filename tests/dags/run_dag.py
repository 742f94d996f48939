"""Run the DAG in one process, and print how each task ended: ``… run_dag DAG_RUN_ID CONF``."""

import json
import sys
import warnings

warnings.simplefilter("ignore")

from dags.retrofill import dag  # noqa: E402


def main() -> None:
    dag_run_id, conf = sys.argv[1], json.loads(sys.argv[2])
    run = dag.test(run_conf=conf)
    states = {}
    for instance in run.get_task_instances():
        states.setdefault(instance.task_id, set()).add(str(instance.state))
    told = {name: "+".join(sorted(found)) for name, found in states.items()}
    sys.stdout.write(json.dumps({**told, "dag_run": str(run.state), "id": dag_run_id}))


if __name__ == "__main__":
    main()
