-- The schema of the state: jobs, runs and what they list, the places of items, batches, calls, views.
--
-- An item is in exactly one of in_process, results and quarantine. Only screening and redrive add items
-- to in_process, and both hold the lock on the job's row until they commit. Every move between the
-- three tables is one transaction.

CREATE SCHEMA IF NOT EXISTS retrofill;

CREATE TYPE retrofill.run_status AS ENUM (
    'open',        -- -> complete, -> incomplete
    'complete',    -- the source was listed to its end and no item is left
    'incomplete'   -- ended with items or partitions left; a new run of the job continues
);

CREATE TYPE retrofill.outcome AS ENUM (
    'succeeded',      -- the function returned; its response says which items succeeded
    'failed',         -- the function, or its response, reports a failure
    'throttled',      -- refused because of load; the function did not run
    'starting',       -- refused while the function was starting; it did not run
    'unknown',        -- no response: the function may have run
    'misconfigured',  -- refused until someone changes the setup; the function did not run
    'too_large',      -- the request is larger than the function accepts; it did not run
    'lost'            -- its task ended before settling it: the function may have run
);

CREATE TABLE retrofill.migration (
    number integer PRIMARY KEY,
    name text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    oldest_code integer NOT NULL
);
COMMENT ON COLUMN retrofill.migration.oldest_code IS 'The oldest version of the code that works with this migration.';

-- Jobs and runs.

CREATE TABLE retrofill.job (
    job_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    fingerprint text NOT NULL,
    source text NOT NULL,
    function_name text NOT NULL,
    event text NOT NULL,
    unordered boolean NOT NULL DEFAULT false,
    next_seq bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    forgotten_at timestamptz,
    CONSTRAINT job_names_are_unique UNIQUE (name)
);
COMMENT ON COLUMN retrofill.job.unordered IS 'A source without order has screened for the job, so its items are found one by one.';
COMMENT ON COLUMN retrofill.job.next_seq IS 'The number of the next item that enters in_process.';
COMMENT ON COLUMN retrofill.job.forgotten_at IS 'Not null: the job is being deleted, and no run of it can be opened.';

CREATE TABLE retrofill.run (
    run_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id integer NOT NULL REFERENCES retrofill.job,
    status retrofill.run_status NOT NULL DEFAULT 'open',
    source text NOT NULL,
    config jsonb NOT NULL,
    delivery jsonb NOT NULL,
    function jsonb NOT NULL,
    function_timeout_s integer NOT NULL,
    limits jsonb NOT NULL,
    price jsonb NOT NULL DEFAULT '{}',
    width integer,
    ramp jsonb,
    modified_after timestamptz,
    modified_before timestamptz,
    interval_start timestamptz,
    source_seen boolean NOT NULL DEFAULT false,
    plan jsonb,
    approval jsonb NOT NULL DEFAULT '{}',
    waited interval NOT NULL DEFAULT '0',
    report_files jsonb,
    stop_reason text,
    opened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    closed_at timestamptz,
    notified_at timestamptz,
    wait_notified_at timestamptz,
    CONSTRAINT run_is_open_or_has_closed_at CHECK ((status = 'open') = (closed_at IS NULL)),
    CONSTRAINT run_function_is_pinned CHECK (
        function ?& ARRAY['kind', 'name', 'version', 'facts']
        AND NOT jsonb_path_exists(function - 'facts', '$.* ? (@.type() != "string")')
        AND jsonb_typeof(function->'facts') = 'object'
    ),
    CONSTRAINT run_approval_has_a_status CHECK (
        approval = '{}' OR approval ->> 'status' IN (
            'waiting', 'approved', 'rejected', 'expired', 'ended', 'void'
        )
    ),
    CONSTRAINT run_limits_has_exactly_these_fields CHECK (
        jsonb_array_length(jsonb_path_query_array(limits, '$.keyvalue()')) = 14
        AND limits - ARRAY[
            'max_concurrency', 'max_items_per_set', 'max_calls_per_second', 'max_calls',
            'max_cost', 'max_minutes', 'max_failure_percent', 'max_percent_by_cause',
            'min_items_judged', 'concurrency_ceiling', 'ramp_minutes', 'function_concurrency',
            'priority', 'paused'
        ] = '{}'
    ),
    CONSTRAINT run_limits_are_numbers CHECK (
        NOT jsonb_path_exists(
            limits - 'paused' - 'max_percent_by_cause',
            '$.* ? (@.type() != "number" && @.type() != "null")'
        )
    ),
    CONSTRAINT run_paused_is_true_or_false CHECK (jsonb_typeof(limits->'paused') = 'boolean'),
    CONSTRAINT run_max_concurrency_is_positive CHECK (
        coalesce((limits->>'max_concurrency')::integer, 0) >= 1
    ),
    CONSTRAINT run_max_items_per_set_is_positive CHECK (
        coalesce((limits->>'max_items_per_set')::bigint, 0) >= 1
    ),
    CONSTRAINT run_max_calls_per_second_is_positive CHECK (
        (limits->>'max_calls_per_second')::float > 0
    ),
    CONSTRAINT run_max_calls_is_not_negative CHECK ((limits->>'max_calls')::bigint >= 0),
    CONSTRAINT run_max_cost_is_not_negative CHECK ((limits->>'max_cost')::float >= 0),
    CONSTRAINT run_max_minutes_is_not_negative CHECK ((limits->>'max_minutes')::integer >= 0),
    CONSTRAINT run_max_failure_percent_is_a_percentage CHECK (
        (limits->>'max_failure_percent')::integer BETWEEN 0 AND 100
    ),
    CONSTRAINT run_max_percent_by_cause_has_percentages CHECK (
        jsonb_typeof(limits->'max_percent_by_cause') = 'object' AND NOT jsonb_path_exists(
            limits->'max_percent_by_cause', '$.* ? (@.type() != "number" || @ < 0 || @ > 100)'
        )
    ),
    CONSTRAINT run_ramp_minutes_is_positive CHECK ((limits->>'ramp_minutes')::integer >= 1),
    CONSTRAINT run_function_concurrency_is_positive CHECK (
        (limits->>'function_concurrency')::integer >= 1
    ),
    CONSTRAINT run_priority_is_positive CHECK (coalesce((limits->>'priority')::integer, 0) >= 1),
    CONSTRAINT run_min_items_judged_is_a_number CHECK (
        coalesce((limits->>'min_items_judged')::bigint, -1) >= 0
    ),
    CONSTRAINT run_concurrency_ceiling_is_positive CHECK (
        (limits->>'concurrency_ceiling')::integer >= 1
    )
);
CREATE INDEX run_of_job ON retrofill.run (job_id, run_id);
CREATE INDEX open_run ON retrofill.run (job_id, run_id) WHERE status = 'open';
-- The runs that share the cap of a function: open ones, and those that were just closed.
CREATE INDEX run_of_function ON retrofill.run (
    (function ->> 'kind'), (function ->> 'name'), coalesce(closed_at, 'infinity')
);
COMMENT ON TABLE retrofill.run IS 'One pass over the source of a job.';
COMMENT ON COLUMN retrofill.run.source IS 'What the run lists, as text: its part of the source of the job.';
COMMENT ON COLUMN retrofill.run.delivery IS 'Event shape, items per call, answer contract, and what comes from a live trigger; null: as in config.';
COMMENT ON COLUMN retrofill.run.function IS 'The function when the run was opened: kind, name, version, and facts of its kind.';
COMMENT ON COLUMN retrofill.run.limits IS 'Limits of the whole run; null: no limit. concurrency_ceiling is what reserve_percent leaves: a higher max_concurrency has no effect. function_concurrency is shared by all runs of the function that have it, by priority.';
COMMENT ON COLUMN retrofill.run.price IS 'The price of calls by term, in dollars. most_per_call: the most that a call without items costs; null: the price is unknown.';
COMMENT ON COLUMN retrofill.run.width IS 'Calls in flight that the endpoint accepts, over all tasks; null: it has not throttled any.';
COMMENT ON COLUMN retrofill.run.ramp IS 'The progress of the start-up ramp; null: there is none, or no task has asked for a share yet.';
COMMENT ON COLUMN retrofill.run.interval_start IS 'The start of the data interval of the run; null: it has none.';
COMMENT ON COLUMN retrofill.run.source_seen IS 'Whether the source had objects when the run was opened, before filters.';
COMMENT ON COLUMN retrofill.run.plan IS 'What the first set would do, and what it may cost; null: no plan was requested.';
COMMENT ON COLUMN retrofill.run.approval IS 'The approval of the plan: its status, since when it waits, who answered and when; {}: none is requested, or not yet.';
COMMENT ON COLUMN retrofill.run.waited IS 'How long the run has waited for approval. max_minutes does not count it.';
COMMENT ON COLUMN retrofill.run.report_files IS 'The report files of the run: location and digest of their manifest, and counts; null: none.';
COMMENT ON COLUMN retrofill.run.stop_reason IS 'Not null: no task of the run may send another call.';

CREATE TABLE retrofill.run_set (
    run_id bigint NOT NULL REFERENCES retrofill.run ON DELETE CASCADE,
    set_no integer NOT NULL,
    dag_id text NOT NULL,
    dag_run_id text NOT NULL,
    items_taken bigint NOT NULL DEFAULT 0,
    max_items bigint NOT NULL,
    resumed bigint NOT NULL DEFAULT 0,
    redriven bigint NOT NULL DEFAULT 0,
    withdrawn bigint NOT NULL DEFAULT 0,
    opened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    planned_at timestamptz,
    closed_at timestamptz,
    PRIMARY KEY (run_id, set_no),
    CONSTRAINT run_set_has_a_dag_run_of_its_own UNIQUE (dag_id, dag_run_id),
    CONSTRAINT run_set_takes_no_more_than_max_items CHECK (items_taken <= max_items)
);
COMMENT ON TABLE retrofill.run_set IS 'The part of a run that one DAG run processes.';
COMMENT ON COLUMN retrofill.run_set.withdrawn IS 'Items that the set enqueued and that are new again: the plan was not approved, or the function seems to feed its own source.';

CREATE TABLE retrofill.waiting (
    dag_id text NOT NULL,
    dag_run_id text NOT NULL,
    job_id integer NOT NULL REFERENCES retrofill.job ON DELETE CASCADE,
    since timestamptz NOT NULL DEFAULT clock_timestamp(),
    runs bigint[] NOT NULL,
    behind text[] NOT NULL,
    PRIMARY KEY (dag_id, dag_run_id)
);
CREATE INDEX waiting_for_job ON retrofill.waiting (job_id);
COMMENT ON TABLE retrofill.waiting IS 'DAG runs that open a run when the earlier runs of their job are closed.';
COMMENT ON COLUMN retrofill.waiting.runs IS 'The open runs that it waits for.';
COMMENT ON COLUMN retrofill.waiting.behind IS 'The ids of the DAG runs that open theirs first.';

-- Partitions of a run, and items that it listed but did not enqueue.

CREATE TABLE retrofill.partition (
    run_id bigint NOT NULL REFERENCES retrofill.run ON DELETE CASCADE,
    part_no integer NOT NULL,
    label text NOT NULL,
    description jsonb NOT NULL,
    seen integer,
    cursor text,
    recent bytea NOT NULL DEFAULT '',
    chunk_no integer NOT NULL DEFAULT 0,
    listed bigint NOT NULL DEFAULT 0,
    new bigint NOT NULL DEFAULT 0,
    known bigint NOT NULL DEFAULT 0,
    late bigint NOT NULL DEFAULT 0,
    left_out jsonb NOT NULL DEFAULT '{}',
    done boolean NOT NULL DEFAULT false,
    PRIMARY KEY (run_id, part_no),
    CONSTRAINT partition_listed_is_new_and_known CHECK (listed = new + known)
);
-- Identifiers are hashes, which cannot be compressed.
ALTER TABLE retrofill.partition ALTER COLUMN recent SET STORAGE EXTERNAL;
COMMENT ON COLUMN retrofill.partition.seen IS 'Keys that the survey of the source found in it, before filters; null: there was no survey.';
COMMENT ON COLUMN retrofill.partition.cursor IS 'The source''s own text. Items after it are not screened yet.';
COMMENT ON COLUMN retrofill.partition.recent IS 'Identifiers, 16 bytes each, of items that are counted and may be listed again: those of the page before the cursor, and the screened ones of the page after it.';
COMMENT ON COLUMN retrofill.partition.late IS 'New items that are older than the run''s interval.';
COMMENT ON COLUMN retrofill.partition.left_out IS 'What was seen and is not among the items, counted by reason.';

CREATE TABLE retrofill.later (
    run_id bigint NOT NULL REFERENCES retrofill.run ON DELETE CASCADE,
    part_no integer NOT NULL,
    item_key text COLLATE "C" NOT NULL,
    content text NOT NULL,
    PRIMARY KEY (run_id, part_no, item_key)
);
COMMENT ON TABLE retrofill.later IS 'Some of the items that a run left out because they were modified after it was opened: its own function may have written them.';

CREATE TABLE retrofill.elsewhere (
    run_id bigint NOT NULL REFERENCES retrofill.run ON DELETE CASCADE,
    part_no integer NOT NULL,
    chunk_no integer NOT NULL,
    items int8multirange NOT NULL,
    PRIMARY KEY (run_id, part_no, chunk_no)
);
COMMENT ON TABLE retrofill.elsewhere IS 'The numbers of listed items that were in process in another run when their chunk was screened.';

CREATE TABLE retrofill.awaited (
    run_id bigint NOT NULL REFERENCES retrofill.run ON DELETE CASCADE,
    holder bigint NOT NULL,
    items bigint NOT NULL,
    PRIMARY KEY (run_id, holder)
);
COMMENT ON TABLE retrofill.awaited IS 'How many items that run_id has listed were in process in the run holder, at the last check of run_id: after planning, and when it was closed.';

-- The in-process cache. It has no index over keys, because its entries would be a third of the log:
-- extents have the ranges of keys instead. It is not vacuumed while it fills, because vacuum would only
-- mark items as visible that are about to be settled. The first vacuum comes when half of the items
-- have left, because only the next set needs their space.
CREATE TABLE retrofill.in_process (
    job_id integer NOT NULL,
    seq bigint NOT NULL,
    run_id bigint NOT NULL,
    identifier uuid NOT NULL,
    item_key text COLLATE "C" NOT NULL,
    content text NOT NULL DEFAULT '',
    attempts integer NOT NULL DEFAULT 0,
    failures integer NOT NULL DEFAULT 0,
    call_cap integer,
    not_before timestamptz,
    unsure boolean NOT NULL DEFAULT false,
    unordered boolean NOT NULL DEFAULT false,
    blamed_by bigint,
    PRIMARY KEY (job_id, seq)
) WITH (
    autovacuum_vacuum_cost_delay = 0, autovacuum_vacuum_insert_threshold = -1,
    autovacuum_vacuum_scale_factor = 0.5
);
-- Identifiers come first: without statistics, the planner would otherwise use the primary key, which
-- also begins with job_id, and read the whole job for each item.
CREATE UNIQUE INDEX unordered_items ON retrofill.in_process (identifier, job_id) WHERE unordered;
COMMENT ON COLUMN retrofill.in_process.content IS 'Data that only the item''s source and event shape understand.';
COMMENT ON COLUMN retrofill.in_process.attempts IS 'Calls that carried the item and may have run the function.';
COMMENT ON COLUMN retrofill.in_process.failures IS 'Attempts that failed with this item alone to blame.';
COMMENT ON COLUMN retrofill.in_process.call_cap IS 'The maximum number of items that a call with this one may carry: it was in a failed call of twice as many.';
COMMENT ON COLUMN retrofill.in_process.unsure IS 'An earlier attempt ended without a response: another may do its work twice.';
COMMENT ON COLUMN retrofill.in_process.blamed_by IS 'The run that has counted the item as failed; null: no run that carried it last has.';

-- Extents record which numbers entered together, for which run, and whether all of them are still
-- there. Items that are not planned yet are cut into batches by arithmetic.
CREATE TABLE retrofill.extent (
    job_id integer NOT NULL REFERENCES retrofill.job ON DELETE CASCADE,
    first_seq bigint NOT NULL,
    last_seq bigint NOT NULL,
    run_id bigint NOT NULL,
    first_key text COLLATE "C" NOT NULL,
    last_key text COLLATE "C" NOT NULL,
    bytes bigint NOT NULL DEFAULT 0,
    whole boolean NOT NULL DEFAULT true,
    PRIMARY KEY (job_id, first_seq),
    CONSTRAINT extent_is_short CHECK (last_seq - first_seq BETWEEN 0 AND 9999),
    -- An item in two extents would be planned twice. This rejects numbers that were used before.
    CONSTRAINT extents_do_not_overlap EXCLUDE USING gist (
        int4range(job_id, job_id, '[]') WITH =, int8range(first_seq, last_seq, '[]') WITH &&
    )
);
COMMENT ON TABLE retrofill.extent IS 'Consecutive numbers that entered in_process in one statement for one run, and the range of their keys.';
COMMENT ON COLUMN retrofill.extent.bytes IS 'The size of its items'' contents when they entered.';
COMMENT ON COLUMN retrofill.extent.whole IS 'No item has left it. True until it is planned, because only planned items leave.';

-- Every statement that adds items also adds their extents; otherwise, screening could miss them. The
-- trigger has the rights of the owner, because nothing else may add extents.
CREATE FUNCTION retrofill.add_extents() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    stretch record;
BEGIN
    FOR stretch IN
        SELECT
            job_id, run_id, seq / 10000 AS no, min(seq) AS first_seq, max(seq) AS last_seq,
            min(item_key) AS first_key, max(item_key) AS last_key, count(*) AS items,
            sum(octet_length(content)) AS bytes
        FROM added GROUP BY job_id, run_id, no
    LOOP
        IF stretch.items = stretch.last_seq - stretch.first_seq + 1 THEN
            INSERT INTO retrofill.extent (
                job_id, first_seq, last_seq, run_id, first_key, last_key, bytes
            ) VALUES (
                stretch.job_id, stretch.first_seq, stretch.last_seq, stretch.run_id,
                stretch.first_key, stretch.last_key, stretch.bytes
            );
        ELSE
            -- Screening and redrive leave no gaps. Other statements may: then each part is an extent.
            INSERT INTO retrofill.extent (
                job_id, first_seq, last_seq, run_id, first_key, last_key, bytes
            )
            SELECT
                stretch.job_id, min(seq), max(seq), stretch.run_id, min(item_key), max(item_key),
                sum(octet_length(content))
            FROM (
                SELECT seq, item_key, content, seq - row_number() OVER (ORDER BY seq) AS part
                FROM added
                WHERE job_id = stretch.job_id AND run_id = stretch.run_id
                    AND seq / 10000 = stretch.no
            ) AS numbered
            GROUP BY part;
        END IF;
    END LOOP;
    RETURN NULL;
END $$;

CREATE TRIGGER add_extents AFTER INSERT ON retrofill.in_process
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION retrofill.add_extents();

-- The results cache. A chunk of listed items reads the key range that it covers. Table and index are
-- in the order of keys, so a second run reads only what it needs. It reads the index alone if vacuum
-- has marked the pages as visible to all, which by default happens only when a fifth of the table is
-- new.
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
) WITH (autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);

CREATE TABLE retrofill.quarantine (
    job_id integer NOT NULL,
    item_key text COLLATE "C" NOT NULL,
    identifier uuid NOT NULL,
    run_id bigint NOT NULL,
    batch_id bigint NOT NULL,
    call_no integer NOT NULL,
    seq bigint,
    content text NOT NULL DEFAULT '',
    attempts integer NOT NULL,
    failures integer NOT NULL,
    unsure boolean NOT NULL,
    request_id text NOT NULL,
    error_type text NOT NULL,
    error text NOT NULL,
    quarantined_at timestamptz NOT NULL,
    PRIMARY KEY (job_id, item_key, identifier)
);
-- It has expressions, so that only statements with the same expressions use it: without statistics,
-- screening would otherwise use it to read all items of a run for each page of keys.
CREATE INDEX quarantine_of_run ON retrofill.quarantine ((run_id + 0), (item_key || ''));
COMMENT ON COLUMN retrofill.quarantine.seq IS 'The item''s number in process. A late success finds the item by it.';
-- For triage: it finds the errors without reading all items. It has only the beginning of an error,
-- because index entries are limited in size and errors are not. It has expressions, because the planner
-- without statistics would otherwise use it instead of the primary key, which also begins with job_id,
-- and read the whole job for each item.
CREATE INDEX quarantine_by_error ON retrofill.quarantine (
    (job_id + 0), (left(error_type, 200) COLLATE "C"), (quarantined_at AT TIME ZONE 'UTC')
);

CREATE TABLE retrofill.redriven (
    job_id integer NOT NULL,
    item_key text COLLATE "C" NOT NULL,
    identifier uuid NOT NULL,
    run_id bigint NOT NULL,
    quarantined_by bigint,
    batch_id bigint NOT NULL,
    call_no integer NOT NULL,
    attempts integer NOT NULL,
    failures integer NOT NULL DEFAULT 0,
    unsure boolean NOT NULL DEFAULT false,
    request_id text NOT NULL DEFAULT '',
    error_type text NOT NULL DEFAULT '',
    error text NOT NULL DEFAULT '',
    quarantined_at timestamptz,
    settled_by bigint,
    settled_at timestamptz,
    redriven_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (job_id, item_key, identifier, run_id),
    CONSTRAINT redriven_was_in_one_place CHECK (
        (quarantined_by IS NULL) <> (settled_by IS NULL)
        AND (quarantined_by IS NULL) = (quarantined_at IS NULL)
        AND (settled_by IS NULL) = (settled_at IS NULL)
    )
);
COMMENT ON TABLE retrofill.redriven IS 'Items as they were in quarantine or results when they were redriven, one row for each time.';
COMMENT ON COLUMN retrofill.redriven.settled_by IS 'The run in which the item succeeded; null: it came from quarantine.';

CREATE TABLE retrofill.redrive (
    run_id bigint PRIMARY KEY REFERENCES retrofill.run ON DELETE CASCADE,
    selection jsonb NOT NULL,
    note text NOT NULL,
    asked_by text NOT NULL,
    counted bigint,
    forecast jsonb,
    CONSTRAINT redrive_is_of_quarantine_or_successes CHECK (
        selection ->> 'place' IN ('quarantine', 'successes')
    )
);
COMMENT ON TABLE retrofill.redrive IS 'The request of a run that redrives; what it did is in the run.';
COMMENT ON COLUMN retrofill.redrive.asked_by IS 'The user who triggered the DAG run; empty: unknown.';
COMMENT ON COLUMN retrofill.redrive.counted IS 'Items of the selection when the run was opened; null: too many to count.';
COMMENT ON COLUMN retrofill.redrive.forecast IS 'Their forecast cost in dollars: least, likely, most; null: unknown.';

-- Batches and calls.

CREATE TABLE retrofill.batch (
    batch_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job_id integer NOT NULL,
    run_id bigint NOT NULL REFERENCES retrofill.run ON DELETE CASCADE,
    set_no integer NOT NULL,
    first_seq bigint NOT NULL,
    last_seq bigint NOT NULL,
    items integer NOT NULL,
    bytes bigint NOT NULL DEFAULT 0,
    canary boolean NOT NULL DEFAULT false,
    sizes bigint[],
    planned_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    done_at timestamptz,
    -- The lease, and the progress of its holder.
    epoch integer NOT NULL DEFAULT 0,
    holder text,
    task_id text NOT NULL DEFAULT '',
    map_index integer NOT NULL DEFAULT -1,
    leased_until timestamptz,
    counted_for timestamptz,
    may_run_until timestamptz[],
    settle_no bigint NOT NULL DEFAULT 0,
    pulse_no integer NOT NULL DEFAULT 0,
    next_call integer NOT NULL DEFAULT 1,
    -- The share of its holder.
    wanted integer NOT NULL DEFAULT 0,
    allotted integer NOT NULL DEFAULT 0,
    call_limit bigint,
    cost_limit double precision,
    calls_per_second double precision NOT NULL DEFAULT 0,
    width integer,
    in_flight integer NOT NULL DEFAULT 0,
    orphans integer NOT NULL DEFAULT 0,
    orphans_until timestamptz,
    answered_at timestamptz,
    refused_since timestamptz,
    refusal text,
    failing_as text,
    hints text[] NOT NULL DEFAULT '{}',
    -- Counts.
    calls integer NOT NULL DEFAULT 0,
    calls_settled integer NOT NULL DEFAULT 0,
    cost double precision NOT NULL DEFAULT 0,
    cost_from_above double precision NOT NULL DEFAULT 0,
    calls_succeeded integer NOT NULL DEFAULT 0,
    refused integer NOT NULL DEFAULT 0,
    retries integer NOT NULL DEFAULT 0,
    duplicates integer NOT NULL DEFAULT 0,
    items_answered bigint NOT NULL DEFAULT 0,
    succeeded integer NOT NULL DEFAULT 0,
    quarantined integer NOT NULL DEFAULT 0,
    blamed integer NOT NULL DEFAULT 0,
    cured integer NOT NULL DEFAULT 0,
    lost_tasks integer NOT NULL DEFAULT 0,
    slowest integer[] NOT NULL DEFAULT '{}',
    slowest_ms integer[] NOT NULL DEFAULT '{}',
    CONSTRAINT batch_is_not_empty CHECK (first_seq <= last_seq),
    CONSTRAINT batch_of_canary_has_sizes CHECK (
        canary = (sizes IS NOT NULL) AND cardinality(sizes) = items
    )
) WITH (fillfactor = 50);
CREATE INDEX batch_of_run ON retrofill.batch (run_id);
CREATE UNIQUE INDEX canary_of_run ON retrofill.batch (run_id) WHERE canary;
CREATE INDEX open_batch_of_job ON retrofill.batch (job_id, first_seq) WHERE done_at IS NULL;
COMMENT ON COLUMN retrofill.batch.bytes IS 'The approximate size of its items'' contents.';
COMMENT ON COLUMN retrofill.batch.canary IS 'Its items are called before all others of the run, to measure calls.';
COMMENT ON COLUMN retrofill.batch.sizes IS 'Of a canary: the bytes of each item in the order of their numbers; null within: unknown.';
COMMENT ON COLUMN retrofill.batch.epoch IS 'The fencing token: it grows with each lease.';
COMMENT ON COLUMN retrofill.batch.may_run_until IS 'Of a silent holder: the times by which its calls in flight must have ended, if they were counted.';
COMMENT ON COLUMN retrofill.batch.counted_for IS 'The leased_until for which they were counted; if it differs, they are not counted.';
COMMENT ON COLUMN retrofill.batch.task_id IS 'The task that held the batch last, within the DAG run of its set; empty: none.';
COMMENT ON COLUMN retrofill.batch.map_index IS 'The map index of that task; -1: it is not mapped.';
COMMENT ON COLUMN retrofill.batch.settle_no IS 'The number of the last settling transaction, so that one whose commit had no response is not applied twice.';
COMMENT ON COLUMN retrofill.batch.pulse_no IS 'How often its holder has added to the pulse of the run, for the same reason.';
COMMENT ON COLUMN retrofill.batch.allotted IS 'Calls that this batch may have in flight, out of its run''s max_concurrency.';
COMMENT ON COLUMN retrofill.batch.call_limit IS 'Calls that this batch may ever make, out of its run''s max_calls; null: no limit.';
COMMENT ON COLUMN retrofill.batch.cost_limit IS 'Dollars that the calls of this batch may ever cost, out of its run''s max_cost; null: no limit.';
COMMENT ON COLUMN retrofill.batch.calls_per_second IS 'Its holder''s share of its run''s max_calls_per_second.';
COMMENT ON COLUMN retrofill.batch.width IS 'Its holder''s share of its run''s width.';
COMMENT ON COLUMN retrofill.batch.in_flight IS 'Calls that its holder had in flight when it got its share.';
COMMENT ON COLUMN retrofill.batch.orphans IS 'Calls that no task waits for and that may be running until orphans_until: they count towards max_concurrency.';
COMMENT ON COLUMN retrofill.batch.answered_at IS 'When its holder last reported that a call was let through: it ended with anything but a refusal.';
COMMENT ON COLUMN retrofill.batch.refused_since IS 'Not null: since then its holder has met only refusals, the last of which is refusal.';
COMMENT ON COLUMN retrofill.batch.failing_as IS 'The error for which its items were blamed; empty: several.';
COMMENT ON COLUMN retrofill.batch.hints IS 'Explanations of errors of its calls that no item causes.';
COMMENT ON COLUMN retrofill.batch.cost IS 'Dollars that its ended calls cost, by its run''s price; 0 if the price is unknown.';
COMMENT ON COLUMN retrofill.batch.cost_from_above IS 'The part of cost that is an upper bound, because the bill is unknown.';
COMMENT ON COLUMN retrofill.batch.calls_settled IS 'Calls that its holder has settled, and all calls before this holder. The others may be running.';
COMMENT ON COLUMN retrofill.batch.refused IS 'Calls that were refused, so that the function did not run: they do not count towards max_calls.';
COMMENT ON COLUMN retrofill.batch.items_answered IS 'Items that the succeeded calls carried.';
COMMENT ON COLUMN retrofill.batch.blamed IS 'Items that failed alone, counted once per run, or whose response was lost.';
COMMENT ON COLUMN retrofill.batch.cured IS 'Items that succeeded after they had been blamed.';
COMMENT ON COLUMN retrofill.batch.lost_tasks IS 'Holders that ended without releasing the batch.';
COMMENT ON COLUMN retrofill.batch.slowest IS 'The numbers of the slowest calls at its holder''s last report, including those in flight, the slowest first.';
COMMENT ON COLUMN retrofill.batch.slowest_ms IS 'The durations of these calls so far, in milliseconds.';

CREATE TABLE retrofill.call_count (
    batch_id bigint NOT NULL REFERENCES retrofill.batch ON DELETE CASCADE,
    outcome retrofill.outcome NOT NULL,
    cause text NOT NULL,
    calls bigint NOT NULL,
    items bigint NOT NULL,
    cost double precision NOT NULL DEFAULT 0,
    last_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_calls integer[] NOT NULL DEFAULT '{}',
    PRIMARY KEY (batch_id, outcome, cause)
);
COMMENT ON TABLE retrofill.call_count IS 'The calls of a batch that did not succeed, by outcome and cause; the others are counted in the batch.';
COMMENT ON COLUMN retrofill.call_count.last_at IS 'When the last of them ended.';
COMMENT ON COLUMN retrofill.call_count.last_calls IS 'The numbers of the last of them, the newest last.';
COMMENT ON COLUMN retrofill.call_count.cost IS 'The part of the batch''s cost that these calls have.';

-- A row grows by two thirds when its call ends. If the page has room for that, the index over calls
-- is not updated, and the old version is removed without a vacuum.
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
    took_ms integer,
    billed_ms integer,
    memory_mb integer,
    init_ms integer,
    keys jsonb,
    PRIMARY KEY (batch_id, call_no),
    CONSTRAINT invocation_has_outcome_and_ended_at_together CHECK (
        (outcome IS NULL) = (ended_at IS NULL)
    )
) WITH (fillfactor = 40);
COMMENT ON TABLE retrofill.invocation IS 'One row per HTTP request to the function, committed before the request leaves.';
COMMENT ON COLUMN retrofill.invocation.items IS 'The numbers (seq) of the items that it carried.';
COMMENT ON COLUMN retrofill.invocation.took_ms IS 'Milliseconds until its complete response, as the client measured them; null: it has none, or the run records no usage.';
COMMENT ON COLUMN retrofill.invocation.billed_ms IS 'Milliseconds that the function''s service reports as billed; null: not reported.';
COMMENT ON COLUMN retrofill.invocation.memory_mb IS 'The most memory that the function used, as its service reports it; null: not reported.';
COMMENT ON COLUMN retrofill.invocation.init_ms IS 'The part of billed_ms that started an environment; null: not reported.';
COMMENT ON COLUMN retrofill.invocation.keys IS 'Of a call that did not succeed: the keys of its first items; null: not recorded.';
COMMENT ON COLUMN retrofill.invocation.duplicates IS 'Items that it carried after an earlier attempt without a response.';

-- The function version of an item's last call: that of the call, or else of its run. In FROM, the
-- planner inlines it. It reads the versions of all runs of the job at once, because without statistics
-- one look-up for each item might read the whole table.
CREATE FUNCTION retrofill.version_of(job integer, run bigint, batch bigint, call integer)
RETURNS TABLE (version text) LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce(
        (
            SELECT nullif(executed_version, '') FROM retrofill.invocation
            WHERE batch_id = batch AND call_no = call
        ),
        (
            SELECT jsonb_object_agg(run_id, function ->> 'version') FROM retrofill.run
            WHERE job_id = job
        ) ->> run::text
    )
$$;

-- Changes of a run by users, and what it did on its own.
CREATE TABLE retrofill.event (
    run_id bigint NOT NULL REFERENCES retrofill.run ON DELETE CASCADE,
    event_no bigint GENERATED ALWAYS AS IDENTITY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    who text NOT NULL,
    what text NOT NULL,
    value text NOT NULL DEFAULT '',
    was text NOT NULL DEFAULT '',
    PRIMARY KEY (run_id, event_no)
);
COMMENT ON TABLE retrofill.event IS 'Events of a run: changes that users made, and why it stopped.';
COMMENT ON COLUMN retrofill.event.who IS 'The user who did it; empty: Retrofill itself.';
COMMENT ON COLUMN retrofill.event.what IS 'paused, resumed, stopped, the name of a changed limit, or the status of the approval.';
COMMENT ON COLUMN retrofill.event.value IS 'The new value of a limit, empty if it has none now; or the reason.';

-- The calls of a run per time slice. All tasks add to one row.
CREATE TABLE retrofill.pulse (
    run_id bigint NOT NULL REFERENCES retrofill.run ON DELETE CASCADE,
    second integer NOT NULL,
    seconds integer NOT NULL,
    at timestamptz NOT NULL,
    calls bigint NOT NULL,
    succeeded bigint NOT NULL,
    quarantined bigint NOT NULL,
    troubles jsonb NOT NULL,
    call_seconds double precision NOT NULL,
    most_in_flight integer NOT NULL,
    latency bigint[] NOT NULL,
    PRIMARY KEY (run_id, second)
) WITH (fillfactor = 50);
COMMENT ON COLUMN retrofill.pulse.second IS 'The start of the slice, in seconds since the run was opened, without the time that it waited for approval.';
COMMENT ON COLUMN retrofill.pulse.calls IS 'Calls that ended.';
COMMENT ON COLUMN retrofill.pulse.troubles IS 'Calls that did not succeed, by cause, or by outcome if it has no causes.';
COMMENT ON COLUMN retrofill.pulse.call_seconds IS 'The sum of seconds that calls were in flight. Divided by the length of the slice, it is their mean number.';
COMMENT ON COLUMN retrofill.pulse.most_in_flight IS 'The maximum number of calls that could be in flight at its end.';
COMMENT ON COLUMN retrofill.pulse.latency IS 'A histogram of the durations of calls that were not refused: each bin ends at 2^(1/4) times the end of the one before, and the first at 1 ms.';

-- The public views, on which dashboards and checks may rely.

CREATE VIEW retrofill.v_run AS
SELECT
    run.run_id,
    job.name AS job,
    run.status,
    run.source,
    run.function ->> 'name' AS function_name,
    run.function ->> 'version' AS function_version,
    coalesce(sets.sets, 0) AS sets,
    coalesce(parts.partitions, 0) AS partitions,
    coalesce(parts.partitions_left, 0) AS partitions_left,
    coalesce(parts.listed, 0) AS listed,
    coalesce(parts.known, 0) AS known,
    coalesce(parts.new, 0) AS new,
    coalesce(sets.resumed, 0) AS resumed,
    coalesce((
        SELECT jsonb_object_agg(reason, items) FROM (
            SELECT reason, sum(items::bigint) AS items
            FROM retrofill.partition
            CROSS JOIN LATERAL jsonb_each_text(partition.left_out) AS counted (reason, items)
            WHERE partition.run_id = run.run_id
            GROUP BY reason
        ) AS summed
    ), '{}') AS left_out,
    coalesce(calls.succeeded, 0) AS succeeded,
    coalesce(calls.quarantined, 0) AS quarantined,
    coalesce(parts.new, 0) + coalesce(sets.resumed, 0) + coalesce(sets.redriven, 0)
        - coalesce(calls.succeeded, 0) - coalesce(calls.quarantined, 0)
        - coalesce(sets.withdrawn, 0) AS items_left,
    coalesce(calls.calls, 0) AS calls,
    coalesce(calls.retries, 0) AS retries,
    coalesce(calls.duplicates, 0) AS duplicates,
    run.opened_at,
    run.closed_at,
    run.notified_at,
    run.stop_reason,
    nullif(run.config ->> 'redrive', 'none') AS redrive,
    coalesce(sets.redriven, 0) AS redriven,
    coalesce((troubles.calls ->> 'failed')::bigint, 0) AS failed,
    coalesce((troubles.calls ->> 'timed_out')::bigint, 0) AS timed_out,
    coalesce((troubles.calls ->> 'out_of_memory')::bigint, 0) AS out_of_memory,
    coalesce((troubles.calls ->> 'crashed')::bigint, 0) AS crashed,
    coalesce((troubles.calls ->> 'handled')::bigint, 0) AS handled,
    coalesce((troubles.calls ->> 'unhandled')::bigint, 0) AS unhandled,
    coalesce((troubles.calls ->> 'malformed_answer')::bigint, 0) AS malformed_answer,
    coalesce((troubles.calls ->> 'throttled')::bigint, 0) AS throttled,
    coalesce((troubles.calls ->> 'starting')::bigint, 0) AS starting,
    coalesce((troubles.calls ->> 'unknown')::bigint, 0) AS unknown,
    coalesce((troubles.calls ->> 'misconfigured')::bigint, 0) AS misconfigured,
    coalesce((troubles.calls ->> 'too_large')::bigint, 0) AS too_large,
    coalesce((troubles.calls ->> 'lost')::bigint, 0) AS lost,
    coalesce(others.items, 0)::bigint AS with_others,
    coalesce(others.runs, '[]') AS others,
    run.source_seen,
    coalesce(calls.lost_tasks, 0) AS lost_tasks,
    coalesce((troubles.calls ->> 'answer_lost')::bigint, 0) AS answer_lost,
    ARRAY(
        SELECT DISTINCT unnest(batch.hints) FROM retrofill.batch
        WHERE batch.run_id = run.run_id ORDER BY 1
    ) AS hints,
    coalesce(parts.late, 0) AS late,
    coalesce(sets.withdrawn, 0) AS withdrawn,
    CASE WHEN run.plan IS NOT NULL THEN run.plan -> 'counts' || jsonb_build_object(
        'dollars', run.plan -> 'forecast' -> 'dollars',
        'seconds', run.plan -> 'forecast' -> 'seconds'
    ) END AS planned,
    run.approval,
    charged.cost,
    charged.cost_from_above,
    jsonb_build_object(
        'calls', charged.cost_of_calls,
        'time', CASE WHEN run.price ->> 'per_gb_second' IS NOT NULL THEN round(greatest(
            charged.cost - coalesce(charged.cost_of_calls, 0) - coalesce(charged.cost_of_items, 0), 0
        )::numeric, 12) END,
        'items', charged.cost_of_items
    ) AS cost_by_term,
    coalesce(run.price ->> 'words', '') AS price,
    coalesce(calls.refused, 0) AS refused,
    run.config ->> 'report_to' AS report_to,
    run.report_files,
    redrive.counted AS redrive_counted
FROM retrofill.run
JOIN retrofill.job USING (job_id)
LEFT JOIN retrofill.redrive USING (run_id)
LEFT JOIN LATERAL (
    SELECT
        count(*) AS sets, sum(resumed)::bigint AS resumed, sum(run_set.redriven)::bigint AS redriven,
        sum(withdrawn)::bigint AS withdrawn
    FROM retrofill.run_set WHERE run_set.run_id = run.run_id
) AS sets ON true
LEFT JOIN LATERAL (
    SELECT
        count(*) AS partitions,
        count(*) FILTER (WHERE NOT done) AS partitions_left,
        sum(listed)::bigint AS listed, sum(new)::bigint AS new, sum(known)::bigint AS known,
        sum(late)::bigint AS late
    FROM retrofill.partition WHERE partition.run_id = run.run_id
) AS parts ON true
LEFT JOIN LATERAL (
    SELECT
        sum(succeeded) AS succeeded, sum(quarantined) AS quarantined, sum(calls) AS calls,
        sum(refused) AS refused, sum(retries) AS retries, sum(duplicates) AS duplicates,
        sum(lost_tasks) AS lost_tasks, sum(cost) AS cost, sum(cost_from_above) AS cost_from_above,
        sum(calls_succeeded) AS calls_succeeded, sum(items_answered) AS items_answered
    FROM retrofill.batch WHERE batch.run_id = run.run_id
) AS calls ON true
LEFT JOIN LATERAL (
    SELECT
        jsonb_object_agg(name, calls) AS calls,
        sum(calls) FILTER (WHERE name IN ('failed', 'unknown', 'lost')) AS charged_calls,
        sum(items) FILTER (WHERE name IN ('failed', 'unknown', 'lost')) AS charged_items
    FROM (
        SELECT name, sum(count.calls) AS calls, sum(count.items) AS items
        FROM retrofill.batch CROSS JOIN LATERAL (
            SELECT outcome, cause, calls, items FROM retrofill.call_count
            WHERE call_count.batch_id = batch.batch_id
            OFFSET 0
        ) AS count
        CROSS JOIN LATERAL unnest(ARRAY[outcome::text, cause]) AS name
        WHERE batch.run_id = run.run_id
        GROUP BY name
    ) AS summed
) AS troubles ON true
CROSS JOIN LATERAL (
    -- Null: the price is unknown. A refused call costs nothing.
    SELECT
        known.zero + coalesce(calls.cost, 0) AS cost,
        known.zero + coalesce(calls.cost_from_above, 0) AS cost_from_above,
        known.zero + (run.price ->> 'per_call')::float
            * (coalesce(calls.calls_succeeded, 0) + coalesce(troubles.charged_calls, 0))::float
            AS cost_of_calls,
        known.zero + (run.price ->> 'per_item')::float
            * (coalesce(calls.items_answered, 0) + coalesce(troubles.charged_items, 0))::float
            AS cost_of_items
    FROM (SELECT 0 * (run.price ->> 'most_per_call')::float AS zero) AS known
) AS charged
LEFT JOIN LATERAL (
    SELECT
        sum(awaited.items) AS items,
        jsonb_agg(
            jsonb_build_object('run_id', holder, 'status', other.status, 'items', awaited.items)
            ORDER BY holder
        ) AS runs
    FROM retrofill.awaited LEFT JOIN retrofill.run AS other ON other.run_id = holder
    WHERE awaited.run_id = run.run_id
) AS others ON true;
COMMENT ON VIEW retrofill.v_run IS 'One row per run, with its exact counts.';

CREATE VIEW retrofill.v_item AS
SELECT job.name AS job, item_key, identifier, 'in_process' AS place, run_id, attempts
FROM retrofill.in_process JOIN retrofill.job USING (job_id)
UNION ALL
SELECT job.name, item_key, identifier, 'results', run_id, attempts
FROM retrofill.results JOIN retrofill.job USING (job_id)
UNION ALL
SELECT job.name, item_key, identifier, 'quarantine', run_id, attempts
FROM retrofill.quarantine JOIN retrofill.job USING (job_id);
COMMENT ON VIEW retrofill.v_item IS 'One row per item, with the one place that it is in.';

CREATE VIEW retrofill.v_call AS
SELECT
    job.name AS job, batch.run_id, batch.set_no, batch_id, call_no, invocation.item_count,
    attempt, invocation.duplicates, sent_at, ended_at, outcome, request_id, executed_version,
    error_type, error, took_ms, billed_ms, memory_mb, invocation.keys
FROM retrofill.invocation
JOIN retrofill.batch USING (batch_id)
JOIN retrofill.job USING (job_id);
COMMENT ON VIEW retrofill.v_call IS 'One row per call to the function.';

CREATE VIEW retrofill.v_outcome AS
SELECT
    batch.run_id, job.name AS job, ended.outcome, ended.cause,
    sum(ended.calls)::bigint AS calls, sum(ended.items)::bigint AS items,
    CASE WHEN (run.price ->> 'most_per_call') IS NOT NULL
        THEN round(greatest(sum(ended.cost), 0)::numeric, 12)::float END AS cost
FROM retrofill.batch
JOIN retrofill.job USING (job_id)
JOIN retrofill.run USING (run_id)
JOIN LATERAL (
    SELECT 'succeeded'::retrofill.outcome AS outcome, '' AS cause,
        batch.calls_succeeded::bigint AS calls, batch.items_answered AS items,
        batch.cost - coalesce((
            SELECT sum(count.cost) FROM retrofill.call_count AS count
            WHERE count.batch_id = batch.batch_id
        ), 0) AS cost
    UNION ALL
    SELECT outcome, cause, count.calls, count.items, count.cost
    FROM retrofill.call_count AS count WHERE count.batch_id = batch.batch_id
) AS ended ON ended.calls > 0
GROUP BY batch.run_id, job.name, ended.outcome, ended.cause, run.price;
COMMENT ON VIEW retrofill.v_outcome IS 'One row per run, outcome and cause of its calls. It remains when the calls are forgotten.';

CREATE VIEW retrofill.v_quarantine AS
SELECT
    job.name AS job, item_key, identifier, run_id, content, attempts, failures,
    request_id, error_type, error, quarantined_at, unsure,
    (
        SELECT count(*) FROM retrofill.redriven
        WHERE redriven.job_id = quarantine.job_id AND redriven.item_key = quarantine.item_key
            AND redriven.identifier = quarantine.identifier
    ) AS redrives
FROM retrofill.quarantine JOIN retrofill.job USING (job_id);
COMMENT ON VIEW retrofill.v_quarantine IS 'One row per item in quarantine.';

CREATE VIEW retrofill.v_redriven AS
SELECT
    job.name AS job, item_key, identifier, run_id, redriven_at, quarantined_by, quarantined_at,
    attempts, failures, unsure, request_id, error_type, error, settled_by, settled_at
FROM retrofill.redriven JOIN retrofill.job USING (job_id);
COMMENT ON VIEW retrofill.v_redriven IS 'One row per redrive of an item, with the item as it was before.';

CREATE VIEW retrofill.v_event AS
SELECT job.name AS job, run_id, at, who, what, value, was
FROM retrofill.event JOIN retrofill.run USING (run_id) JOIN retrofill.job USING (job_id);
COMMENT ON VIEW retrofill.v_event IS 'One row per event of a run; who is empty for Retrofill itself.';

CREATE VIEW retrofill.v_pulse AS
SELECT
    job.name AS job, run_id, at, seconds, calls, succeeded, quarantined, troubles,
    call_seconds / seconds AS in_flight, most_in_flight, median_ms, p95_ms
FROM retrofill.pulse
JOIN retrofill.run USING (run_id)
JOIN retrofill.job USING (job_id)
CROSS JOIN LATERAL (
    -- The middle of the first bin in which that share of calls is reached.
    SELECT
        power(2, (min(rung) FILTER (WHERE upto >= total * 0.5) - 1.5) / 4) AS median_ms,
        power(2, (min(rung) FILTER (WHERE upto >= total * 0.95) - 1.5) / 4) AS p95_ms
    FROM (
        SELECT
            rung, sum(calls) OVER (ORDER BY rung) AS upto, sum(calls) OVER () AS total
        FROM unnest(latency) WITH ORDINALITY AS counted (calls, rung)
    ) AS summed
    WHERE total > 0
) AS took;
COMMENT ON VIEW retrofill.v_pulse IS 'One row per time slice in which a run made calls.';
