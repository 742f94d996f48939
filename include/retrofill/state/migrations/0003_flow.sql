-- Flow: counts of calls by how they ended, the limits of a run, late successes, and redrive.
--
-- Counts begin with this migration: how calls ended before is told by v_call alone.

CREATE TABLE retrofill.call_count (
    batch_id bigint NOT NULL REFERENCES retrofill.batch ON DELETE CASCADE,
    outcome retrofill.outcome NOT NULL,
    cause text NOT NULL,
    calls bigint NOT NULL,
    items bigint NOT NULL,
    PRIMARY KEY (batch_id, outcome, cause)
);
COMMENT ON TABLE retrofill.call_count IS 'How the calls of a batch ended that did not succeed; those that did are counted in the batch itself.';

ALTER TABLE retrofill.batch
    ADD COLUMN calls_succeeded integer NOT NULL DEFAULT 0,
    ADD COLUMN items_answered bigint NOT NULL DEFAULT 0,
    ADD COLUMN blamed integer NOT NULL DEFAULT 0,
    ADD COLUMN cured integer NOT NULL DEFAULT 0,
    ADD COLUMN call_limit bigint,
    ADD COLUMN in_flight integer NOT NULL DEFAULT 0,
    ADD COLUMN calls_per_second double precision NOT NULL DEFAULT 0,
    ADD COLUMN width integer,
    ADD COLUMN orphans integer NOT NULL DEFAULT 0,
    ADD COLUMN orphans_until timestamptz;
COMMENT ON COLUMN retrofill.batch.items_answered IS 'Items that the calls which succeeded carried.';
COMMENT ON COLUMN retrofill.batch.blamed IS 'Items that failed alone, each counted when it did so for the first time.';
COMMENT ON COLUMN retrofill.batch.cured IS 'Items that succeeded after they had been blamed.';
COMMENT ON COLUMN retrofill.batch.call_limit IS 'Calls this batch may ever make, out of its run''s max_calls; null: no limit.';
COMMENT ON COLUMN retrofill.batch.in_flight IS 'Calls its holder had in flight when it was allotted its share.';
COMMENT ON COLUMN retrofill.batch.calls_per_second IS 'What its holder was given of its run''s max_calls_per_second.';
COMMENT ON COLUMN retrofill.batch.width IS 'What its holder was given of the run''s width.';
COMMENT ON COLUMN retrofill.batch.orphans IS 'Calls that nobody waits for and that may be running until orphans_until: they count against max_concurrency.';

ALTER TABLE retrofill.run
    ADD COLUMN concurrency_ceiling integer CHECK (concurrency_ceiling >= 1),
    ADD COLUMN width integer,
    ADD COLUMN max_calls bigint CHECK (max_calls >= 0),
    ADD COLUMN max_minutes integer CHECK (max_minutes >= 0),
    ADD COLUMN max_failure_percent integer CHECK (max_failure_percent BETWEEN 0 AND 100),
    ADD COLUMN min_items_judged bigint NOT NULL DEFAULT 1;
COMMENT ON COLUMN retrofill.run.concurrency_ceiling IS 'What reserve_percent leaves to the run: max_concurrency may be set higher, and has no effect beyond.';

COMMENT ON COLUMN retrofill.run.width IS 'Calls in flight that the endpoint was found to take, over all tasks; null: all so far.';

ALTER TABLE retrofill.run_set ADD COLUMN redriven bigint NOT NULL DEFAULT 0;

ALTER TABLE retrofill.quarantine ADD COLUMN seq bigint;
COMMENT ON COLUMN retrofill.quarantine.seq IS 'Its number while it was in process: by that, a late success finds it.';

CREATE TABLE retrofill.redriven (
    job_id integer NOT NULL,
    item_key text COLLATE "C" NOT NULL,
    identifier uuid NOT NULL,
    run_id bigint NOT NULL,
    quarantined_by bigint NOT NULL,
    attempts integer NOT NULL,
    failures integer NOT NULL,
    unsure boolean NOT NULL,
    request_id text NOT NULL,
    error_type text NOT NULL,
    error text NOT NULL,
    quarantined_at timestamptz NOT NULL,
    redriven_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (job_id, item_key, identifier, run_id)
);
COMMENT ON TABLE retrofill.redriven IS 'What quarantine said of each item that was redriven, one row for each time.';

CREATE OR REPLACE VIEW retrofill.v_run AS
SELECT
    run.run_id,
    job.name AS job,
    run.state,
    job.source,
    run.function_arn,
    run.function_version,
    coalesce(sets.sets, 0) AS sets,
    coalesce(parts.partitions, 0) AS partitions,
    coalesce(parts.partitions_left, 0) AS partitions_left,
    coalesce(parts.listed, 0) AS listed,
    coalesce(parts.known, 0) AS known,
    coalesce(parts.new, 0) AS new,
    coalesce(sets.resumed, 0) AS resumed,
    coalesce(parts.archived, 0) AS archived,
    coalesce(parts.filtered, 0) AS filtered,
    coalesce(parts.rejected, 0) AS rejected,
    coalesce(calls.succeeded, 0) AS succeeded,
    coalesce(calls.quarantined, 0) AS quarantined,
    coalesce(parts.new, 0) + coalesce(sets.resumed, 0) + coalesce(sets.redriven, 0)
        - coalesce(calls.succeeded, 0) - coalesce(calls.quarantined, 0) AS items_left,
    coalesce(calls.calls, 0) AS calls,
    coalesce(calls.retries, 0) AS retries,
    coalesce(calls.duplicates, 0) AS duplicates,
    run.opened_at,
    run.closed_at,
    run.notified_at,
    run.stop_reason,
    coalesce((run.config ->> 'redrive')::boolean, false) AS redrive,
    coalesce(sets.redriven, 0) AS redriven,
    troubles.failed,
    troubles.timed_out,
    troubles.out_of_memory,
    troubles.crashed,
    troubles.handled,
    troubles.unhandled,
    troubles.malformed_answer,
    troubles.throttled,
    troubles.starting,
    troubles.unknown,
    troubles.misconfigured,
    troubles.too_large,
    troubles.lost
FROM retrofill.run
JOIN retrofill.job USING (job_id)
LEFT JOIN LATERAL (
    SELECT
        count(*) AS sets, sum(resumed)::bigint AS resumed, sum(run_set.redriven)::bigint AS redriven
    FROM retrofill.run_set WHERE run_set.run_id = run.run_id
) AS sets ON true
LEFT JOIN LATERAL (
    SELECT
        count(*) AS partitions,
        count(*) FILTER (WHERE NOT done) AS partitions_left,
        sum(listed)::bigint AS listed, sum(new)::bigint AS new, sum(known)::bigint AS known,
        sum(archived)::bigint AS archived, sum(filtered)::bigint AS filtered,
        sum(rejected)::bigint AS rejected
    FROM retrofill.partition WHERE partition.run_id = run.run_id
) AS parts ON true
LEFT JOIN LATERAL (
    SELECT
        sum(succeeded) AS succeeded, sum(quarantined) AS quarantined, sum(calls) AS calls,
        sum(retries) AS retries, sum(duplicates) AS duplicates
    FROM retrofill.batch WHERE batch.run_id = run.run_id
) AS calls ON true
LEFT JOIN LATERAL (
    SELECT
        coalesce(sum(count.calls) FILTER (WHERE outcome = 'failed'), 0)::bigint AS failed,
        coalesce(sum(count.calls) FILTER (WHERE cause = 'timed_out'), 0)::bigint AS timed_out,
        coalesce(sum(count.calls) FILTER (WHERE cause = 'out_of_memory'), 0)::bigint
            AS out_of_memory,
        coalesce(sum(count.calls) FILTER (WHERE cause = 'crashed'), 0)::bigint AS crashed,
        coalesce(sum(count.calls) FILTER (WHERE cause = 'handled'), 0)::bigint AS handled,
        coalesce(sum(count.calls) FILTER (WHERE cause = 'unhandled'), 0)::bigint AS unhandled,
        coalesce(sum(count.calls) FILTER (WHERE cause = 'malformed_answer'), 0)::bigint
            AS malformed_answer,
        coalesce(sum(count.calls) FILTER (WHERE outcome = 'throttled'), 0)::bigint AS throttled,
        coalesce(sum(count.calls) FILTER (WHERE outcome = 'starting'), 0)::bigint AS starting,
        coalesce(sum(count.calls) FILTER (WHERE outcome = 'unknown'), 0)::bigint AS unknown,
        coalesce(sum(count.calls) FILTER (WHERE outcome = 'misconfigured'), 0)::bigint
            AS misconfigured,
        coalesce(sum(count.calls) FILTER (WHERE outcome = 'too_large'), 0)::bigint AS too_large,
        coalesce(sum(count.calls) FILTER (WHERE outcome = 'lost'), 0)::bigint AS lost
    FROM retrofill.batch JOIN retrofill.call_count AS count USING (batch_id)
    WHERE batch.run_id = run.run_id
) AS troubles ON true;

CREATE VIEW retrofill.v_outcome AS
SELECT
    batch.run_id, job.name AS job, ended.outcome, ended.cause,
    sum(ended.calls)::bigint AS calls, sum(ended.items)::bigint AS items
FROM retrofill.batch
JOIN retrofill.job USING (job_id)
JOIN LATERAL (
    SELECT 'succeeded'::retrofill.outcome AS outcome, '' AS cause,
        batch.calls_succeeded::bigint AS calls, batch.items_answered AS items
    UNION ALL
    SELECT outcome, cause, count.calls, count.items
    FROM retrofill.call_count AS count WHERE count.batch_id = batch.batch_id
) AS ended ON ended.calls > 0
GROUP BY batch.run_id, job.name, ended.outcome, ended.cause;
COMMENT ON VIEW retrofill.v_outcome IS 'One row per run and way in which calls of it ended; it stays when the calls themselves are forgotten.';

CREATE OR REPLACE VIEW retrofill.v_quarantine AS
SELECT
    job.name AS job, item_key, identifier, run_id, version_id, etag, size, attempts, failures,
    request_id, error_type, error, quarantined_at, unsure,
    (
        SELECT count(*) FROM retrofill.redriven
        WHERE redriven.job_id = quarantine.job_id AND redriven.item_key = quarantine.item_key
            AND redriven.identifier = quarantine.identifier
    ) AS redrives
FROM retrofill.quarantine JOIN retrofill.job USING (job_id);

CREATE VIEW retrofill.v_redriven AS
SELECT
    job.name AS job, item_key, identifier, run_id, redriven_at, quarantined_by, quarantined_at,
    attempts, failures, unsure, request_id, error_type, error
FROM retrofill.redriven JOIN retrofill.job USING (job_id);
COMMENT ON VIEW retrofill.v_redriven IS 'One row per item and time it was redriven: what quarantine said of it.';
