-- name: begin_snapshot
-- Makes the transaction one read-only snapshot, with a time limit for each statement.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;
SELECT set_config('statement_timeout', %(timeout)s, true)
