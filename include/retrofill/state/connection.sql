-- name: look
SELECT
    current_setting('server_version_num')::integer,
    current_setting('server_encoding'),
    current_setting('transaction_isolation'),
    current_setting('transaction_read_only') = 'on',
    pg_is_in_recovery()

-- name: list_missing_grants
SELECT needed.name, string_agg(privilege, ', ' ORDER BY privilege)
FROM unnest(%(names)s::text[], %(privileges)s::text[]) AS needed (name, privilege)
WHERE NOT has_table_privilege(needed.name, privilege)
GROUP BY needed.name ORDER BY needed.name
