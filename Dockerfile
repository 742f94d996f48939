# Airflow with Retrofill, for production. Run each component of Airflow from this image, as
# https://airflow.apache.org/docs/docker-stack/ describes, with the connections in its environment.
FROM apache/airflow:slim-3.3.2-python3.13

# The versions of the lock replace those of the image.
COPY requirements.lock /
RUN pip install --no-cache-dir --require-hashes --requirement /requirements.lock

COPY --chown=50000:0 include /opt/airflow/include
COPY --chown=50000:0 plugins /opt/airflow/plugins
COPY --chown=50000:0 dags /opt/airflow/dags

# dags/ imports retrofill from here. Byte code helps, because each task is a process that imports it.
ENV PYTHONPATH=/opt/airflow/include \
    AIRFLOW__CORE__LOAD_EXAMPLES=False
RUN python -m compileall -q /opt/airflow/include \
    && printf '#!/bin/sh\nexec python -m retrofill "$@"\n' > /home/airflow/.local/bin/retrofill \
    && chmod +x /home/airflow/.local/bin/retrofill

# The image's user airflow, by number, so that a cluster can check that it is not root.
USER 50000:0
