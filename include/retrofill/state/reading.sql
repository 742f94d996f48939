-- name: begin_snapshot
-- Makes the transaction one read-only snapshot, with a time limit for each statement.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;
SELECT set_config('statement_timeout', %(timeout)s, true)

-- name: read_by_index
-- Keeps this transaction to index scans, which end when there is enough.
-- A table that the planner believes to be small, it would else read whole for each look-up.
SET LOCAL enable_bitmapscan = off; SET LOCAL enable_seqscan = off
