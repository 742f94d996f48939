-- name: begin_snapshot
-- Makes the transaction one read-only snapshot, with a time limit for each statement.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;
SELECT set_config('statement_timeout', %(timeout)s, true)

-- name: read_in_order
-- Keeps this transaction to index scans, which read pages in order.
-- Each page is read in the order of its index. Where the planner expects a row or two, a bitmap and
-- a sort seem as cheap to it, and read all that a job has.
SET LOCAL enable_bitmapscan = off
