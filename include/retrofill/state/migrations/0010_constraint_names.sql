-- oldest code: 0009
-- Names for constraints: each says what must hold, and so does an error of the server that has it.
-- Primary and foreign keys keep their usual names, table_pkey and table_column_fkey.

ALTER TABLE retrofill.job RENAME CONSTRAINT job_name_key TO job_names_are_unique;

ALTER TABLE retrofill.run RENAME CONSTRAINT run_check TO run_is_open_or_has_closed_at;
ALTER TABLE retrofill.run RENAME CONSTRAINT run_max_concurrency_check
    TO run_max_concurrency_is_positive;
ALTER TABLE retrofill.run RENAME CONSTRAINT run_max_calls_per_second_check
    TO run_max_calls_per_second_is_positive;
ALTER TABLE retrofill.run RENAME CONSTRAINT run_concurrency_ceiling_check
    TO run_concurrency_ceiling_is_positive;
ALTER TABLE retrofill.run RENAME CONSTRAINT run_max_calls_check TO run_max_calls_is_not_negative;
ALTER TABLE retrofill.run RENAME CONSTRAINT run_max_minutes_check
    TO run_max_minutes_is_not_negative;
ALTER TABLE retrofill.run RENAME CONSTRAINT run_max_failure_percent_check
    TO run_max_failure_percent_is_a_percentage;

ALTER TABLE retrofill.run_set RENAME CONSTRAINT run_set_dag_id_dag_run_id_key
    TO run_set_has_a_dag_run_of_its_own;
ALTER TABLE retrofill.run_set RENAME CONSTRAINT run_set_check
    TO run_set_takes_no_more_than_max_items;

ALTER TABLE retrofill.partition RENAME CONSTRAINT partition_check
    TO partition_listed_is_new_and_known;

ALTER TABLE retrofill.batch RENAME CONSTRAINT batch_check TO batch_is_not_empty;

ALTER TABLE retrofill.invocation RENAME CONSTRAINT invocation_check
    TO invocation_has_outcome_and_ended_at_together;
