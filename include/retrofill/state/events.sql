-- name: record
-- Adds an event of a run.
INSERT INTO retrofill.event (run_id, who, what, value, was)
VALUES (%(run_id)s, %(who)s, %(what)s, %(value)s, %(was)s)

-- name: list_events
-- The last events of a run, the newest first.
SELECT at, who, what, value, was FROM retrofill.event
WHERE run_id = %(run_id)s ORDER BY event_no DESC LIMIT %(events)s
