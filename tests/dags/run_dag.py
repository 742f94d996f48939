"""Run a DAG in one process, and print how each task ended: ``… run_dag DAG_RUN_ID CONF [DAG]``."""

import json
import sys
import warnings
from importlib import import_module

warnings.simplefilter("ignore")


def main() -> None:
    dag_run_id, conf = sys.argv[1], json.loads(sys.argv[2])
    module, _, name = (sys.argv[3] if len(sys.argv) > 3 else "retrofill:dag").partition(":")
    dag = getattr(import_module(f"dags.{module}"), name)
    run = dag.test(run_conf=conf)
    states = {}
    for instance in run.get_task_instances():
        states.setdefault(instance.task_id, set()).add(str(instance.state))
    told = {name: "+".join(sorted(found)) for name, found in states.items()}
    sys.stdout.write(json.dumps({**told, "dag_run": str(run.state), "id": dag_run_id}))


if __name__ == "__main__":
    main()
