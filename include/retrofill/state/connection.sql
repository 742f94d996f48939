-- name: set_session
-- Sets a session's settings, except those that the connection itself set at its start.
SELECT set_config(name, setting, false)
FROM unnest(%(names)s::text[], %(settings)s::text[]) AS usual (name, setting)
WHERE name NOT IN (SELECT name FROM pg_settings WHERE source = 'client')

-- name: get_server
-- The server's version and encoding, and the settings of a transaction on this connection.
SELECT
    current_setting('server_version_num')::integer AS version,
    current_setting('server_encoding') AS encoding,
    current_setting('transaction_isolation') AS isolation,
    current_setting('transaction_read_only') = 'on' AS read_only,
    pg_is_in_recovery() AS standby

-- name: begin_snapshot
-- Makes the transaction one read-only snapshot, with a time limit for each statement.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;
SELECT set_config('statement_timeout', %(timeout)s, true)

-- name: read_in_order
-- Restricts this transaction to index scans, which read rows in order and stop early.
-- If the planner expects only a row or two, a bitmap and a sort seem as cheap to it, but they read
-- all rows of a job.
SET LOCAL enable_bitmapscan = off

-- name: read_by_index
-- Restricts this transaction to index scans, which stop early.
-- Otherwise the planner reads a whole table for each look-up if it believes the table to be small.
SET LOCAL enable_bitmapscan = off; SET LOCAL enable_seqscan = off

-- name: begin_optional
-- Sets a savepoint before statements that may be refused.
SAVEPOINT optional

-- name: end_optional
-- Releases the savepoint.
RELEASE SAVEPOINT optional

-- name: undo_optional
-- Rolls back to the savepoint.
ROLLBACK TO SAVEPOINT optional

-- name: list_missing_grants
-- The privileges that the connection's role lacks, by table or view.
SELECT needed.name, string_agg(privilege, ', ' ORDER BY privilege) AS privileges
FROM unnest(%(names)s::text[], %(privileges)s::text[]) AS needed (name, privilege)
WHERE NOT has_table_privilege(needed.name, privilege)
GROUP BY needed.name ORDER BY needed.name
