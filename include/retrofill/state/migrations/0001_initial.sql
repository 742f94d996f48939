-- The first schema: job, run, set, partition, the two caches, quarantine, batch and invocation.
--
-- An item is in exactly one of in_process, results and quarantine. Only two doors lead into
-- in_process from outside (screening and redrive), and both hold the lock on the item's job row
-- until they commit; every move between the three tables is one transaction.

CREATE TYPE retrofill.run_state AS ENUM (
    'open',        -- -> complete, -> incomplete
    'complete',    -- the source is exhausted and no item is left
    'incomplete'   -- ended with items or partitions left; a new run of the job resumes
);

CREATE TYPE retrofill.outcome AS ENUM (
    'succeeded',      -- the function returned; the answer says which items
    'failed',         -- the function, or its answer, says that it failed
    'throttled',      -- refused for load; the function did not run
    'starting',       -- refused while the function starts up; it did not run
    'unknown',        -- no answer: the function may have run
    'misconfigured',  -- refused, and would be refused again; the function did not run
    'too_large',      -- the request is larger than Lambda takes; the function did not run
    'lost'            -- its holder died before settling: the function may have run
);

CREATE TABLE retrofill.job (
    job_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    fingerprint text NOT NULL,
    source text NOT NULL,
    function_name text NOT NULL,
    event text NOT NULL,
    next_seq bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON COLUMN retrofill.job.next_seq IS 'The number of the next item to enter in_process.';

CREATE TABLE retrofill.run (
    run_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id integer NOT NULL REFERENCES retrofill.job,
    state retrofill.run_state NOT NULL DEFAULT 'open',
    config jsonb NOT NULL,
    modified_after timestamptz,
    modified_before timestamptz,
    function_arn text NOT NULL,
    function_version text NOT NULL,
    code_sha256 text NOT NULL,
    function_timeout_s integer NOT NULL,
    memory_mb integer NOT NULL,
    max_concurrency integer NOT NULL CHECK (max_concurrency >= 1),
    max_calls_per_second real CHECK (max_calls_per_second > 0),
    paused boolean NOT NULL DEFAULT false,
    stop_reason text,
    opened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    closed_at timestamptz,
    notified_at timestamptz,
    CHECK ((state = 'open') = (closed_at IS NULL))
);
CREATE INDEX run_of_job ON retrofill.run (job_id);
COMMENT ON TABLE retrofill.run IS 'One pass over the source of a job.';
COMMENT ON COLUMN retrofill.run.stop_reason IS 'Not null: no task of the run may send another call.';

CREATE TABLE retrofill.run_set (
    run_id bigint NOT NULL REFERENCES retrofill.run ON DELETE CASCADE,
    set_no integer NOT NULL,
    dag_id text NOT NULL,
    dag_run_id text NOT NULL,
    items_taken bigint NOT NULL DEFAULT 0,
    max_items bigint NOT NULL,
    resumed bigint NOT NULL DEFAULT 0,
    opened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    planned_at timestamptz,
    closed_at timestamptz,
    PRIMARY KEY (run_id, set_no),
    UNIQUE (dag_id, dag_run_id),
    CHECK (items_taken <= max_items)
);
COMMENT ON TABLE retrofill.run_set IS 'What one DAG run of a run takes.';

CREATE TABLE retrofill.partition (
    run_id bigint NOT NULL REFERENCES retrofill.run ON DELETE CASCADE,
    part_no integer NOT NULL,
    label text NOT NULL,
    description jsonb NOT NULL,
    cursor text,
    chunk_no integer NOT NULL DEFAULT 0,
    listed bigint NOT NULL DEFAULT 0,
    new bigint NOT NULL DEFAULT 0,
    known bigint NOT NULL DEFAULT 0,
    archived bigint NOT NULL DEFAULT 0,
    filtered bigint NOT NULL DEFAULT 0,
    rejected bigint NOT NULL DEFAULT 0,
    done boolean NOT NULL DEFAULT false,
    PRIMARY KEY (run_id, part_no),
    CHECK (listed = new + known)
);
COMMENT ON COLUMN retrofill.partition.cursor IS 'All keys up to this one have been screened.';

-- The in-process cache. Both indexes grow at their right ends, since items arrive in the order
-- in which their source lists them: a random key would cost most of the time of screening.
CREATE TABLE retrofill.in_process (
    job_id integer NOT NULL,
    seq bigint NOT NULL,
    run_id bigint NOT NULL,
    identifier uuid NOT NULL,
    item_key text COLLATE "C" NOT NULL,
    version_id text NOT NULL,
    etag text NOT NULL,
    size bigint NOT NULL,
    modified_at timestamptz NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    failures integer NOT NULL DEFAULT 0,
    call_cap integer,
    not_before timestamptz,
    unsure boolean NOT NULL DEFAULT false,
    PRIMARY KEY (job_id, seq),
    UNIQUE (job_id, item_key, identifier)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
COMMENT ON COLUMN retrofill.in_process.attempts IS 'Calls that carried the item and may have run the function.';
COMMENT ON COLUMN retrofill.in_process.failures IS 'Attempts that failed with this item alone to blame.';
COMMENT ON COLUMN retrofill.in_process.call_cap IS 'The most items a call with this one may carry: it was in a failed call of twice as many.';
COMMENT ON COLUMN retrofill.in_process.unsure IS 'An earlier attempt ended without an answer: another may do its work twice.';

-- The results cache. A chunk of listed items asks for the key range it covers, and both the
-- table and its index lie in that order: a second run reads what it needs and no more.
CREATE TABLE retrofill.results (
    job_id integer NOT NULL,
    item_key text COLLATE "C" NOT NULL,
    identifier uuid NOT NULL,
    run_id bigint NOT NULL,
    batch_id bigint NOT NULL,
    call_no integer NOT NULL,
    attempts integer NOT NULL,
    settled_at timestamptz NOT NULL,
    PRIMARY KEY (job_id, item_key, identifier)
);

CREATE TABLE retrofill.quarantine (
    job_id integer NOT NULL,
    item_key text COLLATE "C" NOT NULL,
    identifier uuid NOT NULL,
    run_id bigint NOT NULL,
    batch_id bigint NOT NULL,
    call_no integer NOT NULL,
    version_id text NOT NULL,
    etag text NOT NULL,
    size bigint NOT NULL,
    modified_at timestamptz NOT NULL,
    attempts integer NOT NULL,
    failures integer NOT NULL,
    unsure boolean NOT NULL,
    request_id text NOT NULL,
    error_type text NOT NULL,
    error text NOT NULL,
    quarantined_at timestamptz NOT NULL,
    PRIMARY KEY (job_id, item_key, identifier)
);

CREATE TABLE retrofill.batch (
    batch_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id integer NOT NULL,
    run_id bigint NOT NULL REFERENCES retrofill.run ON DELETE CASCADE,
    set_no integer NOT NULL,
    first_seq bigint NOT NULL,
    last_seq bigint NOT NULL,
    items integer NOT NULL,
    epoch integer NOT NULL DEFAULT 0,
    holder text,
    leased_until timestamptz,
    settle_no bigint NOT NULL DEFAULT 0,
    next_call integer NOT NULL DEFAULT 1,
    wanted integer NOT NULL DEFAULT 0,
    allotted integer NOT NULL DEFAULT 0,
    calls integer NOT NULL DEFAULT 0,
    retries integer NOT NULL DEFAULT 0,
    duplicates integer NOT NULL DEFAULT 0,
    succeeded integer NOT NULL DEFAULT 0,
    quarantined integer NOT NULL DEFAULT 0,
    planned_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    done_at timestamptz,
    CHECK (first_seq <= last_seq)
) WITH (fillfactor = 50);
CREATE INDEX batch_of_run ON retrofill.batch (run_id);
CREATE INDEX open_batch_of_job ON retrofill.batch (job_id, first_seq) WHERE done_at IS NULL;
COMMENT ON COLUMN retrofill.batch.epoch IS 'The fencing token: grows with each lease.';
COMMENT ON COLUMN retrofill.batch.settle_no IS 'Number of the last settling transaction, so that one whose commit went unanswered is not applied twice.';
COMMENT ON COLUMN retrofill.batch.allotted IS 'Calls this batch may have in flight, out of its run''s max_concurrency.';

CREATE TABLE retrofill.invocation (
    batch_id bigint NOT NULL REFERENCES retrofill.batch ON DELETE CASCADE,
    call_no integer NOT NULL,
    epoch integer NOT NULL,
    items int8multirange NOT NULL,
    item_count integer NOT NULL,
    attempt integer NOT NULL,
    duplicates integer NOT NULL,
    sent_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at timestamptz,
    outcome retrofill.outcome,
    request_id text,
    executed_version text,
    error_type text,
    error text,
    PRIMARY KEY (batch_id, call_no),
    CHECK ((outcome IS NULL) = (ended_at IS NULL))
) WITH (fillfactor = 60);
COMMENT ON TABLE retrofill.invocation IS 'One row per HTTP request to the function, committed before the request leaves.';
COMMENT ON COLUMN retrofill.invocation.items IS 'The numbers (seq) of the items it carried.';
COMMENT ON COLUMN retrofill.invocation.duplicates IS 'Items it carried of which an earlier attempt ended without an answer.';

-- The public contract: what dashboards and checks may rely on.

CREATE VIEW retrofill.v_run AS
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
    coalesce(parts.new, 0) + coalesce(sets.resumed, 0)
        - coalesce(calls.succeeded, 0) - coalesce(calls.quarantined, 0) AS items_left,
    coalesce(calls.calls, 0) AS calls,
    coalesce(calls.retries, 0) AS retries,
    coalesce(calls.duplicates, 0) AS duplicates,
    run.opened_at,
    run.closed_at,
    run.notified_at,
    run.stop_reason
FROM retrofill.run
JOIN retrofill.job USING (job_id)
LEFT JOIN LATERAL (
    SELECT count(*) AS sets, sum(resumed)::bigint AS resumed
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
) AS calls ON true;
COMMENT ON VIEW retrofill.v_run IS 'One row per run, with its true counts.';

CREATE VIEW retrofill.v_item AS
SELECT job.name AS job, item_key, identifier, 'in_process' AS place, run_id, attempts
FROM retrofill.in_process JOIN retrofill.job USING (job_id)
UNION ALL
SELECT job.name, item_key, identifier, 'results', run_id, attempts
FROM retrofill.results JOIN retrofill.job USING (job_id)
UNION ALL
SELECT job.name, item_key, identifier, 'quarantine', run_id, attempts
FROM retrofill.quarantine JOIN retrofill.job USING (job_id);
COMMENT ON VIEW retrofill.v_item IS 'One row per item, and the one place it is in.';

CREATE VIEW retrofill.v_call AS
SELECT
    job.name AS job, batch.run_id, batch.set_no, batch_id, call_no, invocation.item_count,
    attempt, invocation.duplicates, sent_at, ended_at, outcome, request_id, executed_version,
    error_type, error
FROM retrofill.invocation
JOIN retrofill.batch USING (batch_id)
JOIN retrofill.job USING (job_id);
COMMENT ON VIEW retrofill.v_call IS 'One row per call to the function.';

CREATE VIEW retrofill.v_quarantine AS
SELECT
    job.name AS job, item_key, identifier, run_id, version_id, etag, size, attempts, failures,
    request_id, error_type, error, quarantined_at
FROM retrofill.quarantine JOIN retrofill.job USING (job_id);
COMMENT ON VIEW retrofill.v_quarantine IS 'One row per item that waits for a person.';
