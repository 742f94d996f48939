-- name: set_session
-- Sets what a session is like, but for what the connection itself has set at its start.
SELECT set_config(name, setting, false)
FROM unnest(%(names)s::text[], %(settings)s::text[]) AS usual (name, setting)
WHERE name NOT IN (SELECT name FROM pg_settings WHERE source = 'client')

-- name: look
-- The server's version and encoding, and what a transaction on this connection is like.
SELECT
    current_setting('server_version_num')::integer AS version,
    current_setting('server_encoding') AS encoding,
    current_setting('transaction_isolation') AS isolation,
    current_setting('transaction_read_only') = 'on' AS read_only,
    pg_is_in_recovery() AS standby

-- name: read_in_order
-- Keeps this transaction to index scans, which read rows in order, and end when there are enough.
-- Where the planner expects a row or two, a bitmap and a sort seem as cheap to it, and read all that
-- a job has.
SET LOCAL enable_bitmapscan = off

-- name: begin_aside
-- Marks where a transaction goes on if what comes next is refused.
SAVEPOINT aside

-- name: end_aside
-- Forgets the mark.
RELEASE SAVEPOINT aside

-- name: drop_aside
-- Goes back to the mark.
ROLLBACK TO SAVEPOINT aside

-- name: list_missing_grants
-- The privileges that the connection's role lacks, by table or view.
SELECT needed.name, string_agg(privilege, ', ' ORDER BY privilege) AS privileges
FROM unnest(%(names)s::text[], %(privileges)s::text[]) AS needed (name, privilege)
WHERE NOT has_table_privilege(needed.name, privilege)
GROUP BY needed.name ORDER BY needed.name
