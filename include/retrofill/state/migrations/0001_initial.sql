-- The schema of the state: job, run and what it lists, the places of items, batch and call, views.
--
-- An item is in exactly one of in_process, results and quarantine. Only two doors lead into
-- in_process from outside (screening and redrive), and both hold the lock on the item's job row
-- until they commit; every move between the three tables is one transaction.

CREATE SCHEMA IF NOT EXISTS retrofill;

CREATE TYPE retrofill.run_status AS ENUM (
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
    'too_large',      -- the request is larger than the function takes; it did not run
    'lost'            -- its holder died before settling: the function may have run
);

CREATE TABLE retrofill.migration (
    number integer PRIMARY KEY,
    name text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    oldest_code integer NOT NULL
);
COMMENT ON COLUMN retrofill.migration.oldest_code IS 'The oldest version of the code that runs with it.';

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
COMMENT ON COLUMN retrofill.job.unordered IS 'A source without order has screened for it: its items are found one by one.';
COMMENT ON COLUMN retrofill.job.next_seq IS 'The number of the next item to enter in_process.';
COMMENT ON COLUMN retrofill.job.forgotten_at IS 'Not null: what it knows is being deleted, and no run of it is opened.';

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
    CONSTRAINT run_approval_has_a_state CHECK (
        approval = '{}' OR approval ->> 'status' IN (
            'waiting', 'approved', 'rejected', 'expired', 'ended', 'void'
        )
    ),
    CONSTRAINT run_limits_are_those_there_are CHECK (
        limits ?& ARRAY[
            'max_concurrency', 'max_items_per_set', 'max_calls_per_second', 'max_calls',
            'max_cost', 'max_minutes', 'max_failure_percent', 'max_percent_by_cause',
            'min_items_judged', 'concurrency_ceiling', 'ramp_minutes', 'function_concurrency',
            'priority', 'paused'
        ]
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
-- Who shares the cap of a function: its open runs, and those closed just now.
CREATE INDEX run_of_function ON retrofill.run (
    (function ->> 'kind'), (function ->> 'name'), coalesce(closed_at, 'infinity')
);
COMMENT ON TABLE retrofill.run IS 'One pass over the source of a job.';
COMMENT ON COLUMN retrofill.run.source IS 'What the run lists, for people: its part of what the job is of.';
COMMENT ON COLUMN retrofill.run.delivery IS 'Event shape, items per call, answer contract, and what is taken over from a live trigger; null: as in config.';
COMMENT ON COLUMN retrofill.run.function IS 'The function as it was found when the run was opened: kind, name, version, and facts in the words of its kind.';
COMMENT ON COLUMN retrofill.run.limits IS 'What the run may do as a whole; null: no such limit. concurrency_ceiling is what reserve_percent leaves: a higher max_concurrency has no effect. function_concurrency is shared with all runs of the function that have it, by their priority.';
COMMENT ON COLUMN retrofill.run.price IS 'What its calls cost, by term, in dollars. most_per_call: what a call without items costs at most; null: what calls cost is unknown.';
COMMENT ON COLUMN retrofill.run.width IS 'Calls in flight that the endpoint was found to take, over all tasks; null: all so far.';
COMMENT ON COLUMN retrofill.run.ramp IS 'How far its start-up ramp has come; null: it has none, or no task has asked yet.';
COMMENT ON COLUMN retrofill.run.interval_start IS 'When the interval begins that the run is for; null: it is for none.';
COMMENT ON COLUMN retrofill.run.source_seen IS 'Whether the source had an object when the run was opened, filters aside.';
COMMENT ON COLUMN retrofill.run.plan IS 'What the first set would do, and what it may cost; null: nobody asked for a plan.';
COMMENT ON COLUMN retrofill.run.approval IS 'What became of the plan: its state, since when it waits, who answered and when; {}: nobody is asked, or not yet.';
COMMENT ON COLUMN retrofill.run.waited IS 'How long it has waited for people: max_minutes leaves that out.';
COMMENT ON COLUMN retrofill.run.report_files IS 'The report files of its items that its task has written: where their manifest is, its digest, counts; null: none.';
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
COMMENT ON TABLE retrofill.run_set IS 'What one DAG run of a run takes.';
COMMENT ON COLUMN retrofill.run_set.withdrawn IS 'Items that it had enqueued and that are new again: nobody approved the plan, or the function seems to feed its own source.';

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
COMMENT ON TABLE retrofill.waiting IS 'DAG runs that open no run until the earlier ones of their job are closed.';
COMMENT ON COLUMN retrofill.waiting.runs IS 'The open runs that it waits for.';
COMMENT ON COLUMN retrofill.waiting.behind IS 'The DAG runs whose turn comes before, by their ids.';

-- What a run lists.

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
-- Identifiers are hashes: nobody can make them shorter.
ALTER TABLE retrofill.partition ALTER COLUMN recent SET STORAGE EXTERNAL;
COMMENT ON COLUMN retrofill.partition.seen IS 'Keys that the source saw in it when it was divided, filters aside; null: it did not look.';
COMMENT ON COLUMN retrofill.partition.cursor IS 'The source''s own text: behind it is what has not been screened.';
COMMENT ON COLUMN retrofill.partition.recent IS 'Identifiers, 16 bytes each, of items that are counted and may be listed again: those of the page before the cursor, and of the page behind it as far as it has been screened.';
COMMENT ON COLUMN retrofill.partition.late IS 'New items that are older than the run''s interval.';
COMMENT ON COLUMN retrofill.partition.left_out IS 'How much was seen and is not among the items, by reason.';

CREATE TABLE retrofill.later (
    run_id bigint NOT NULL REFERENCES retrofill.run ON DELETE CASCADE,
    part_no integer NOT NULL,
    item_key text COLLATE "C" NOT NULL,
    content text NOT NULL,
    PRIMARY KEY (run_id, part_no, item_key)
);
COMMENT ON TABLE retrofill.later IS 'Some of the items that a run has left out because they were modified after it was opened: what its own function may have written.';

CREATE TABLE retrofill.elsewhere (
    run_id bigint NOT NULL REFERENCES retrofill.run ON DELETE CASCADE,
    part_no integer NOT NULL,
    chunk_no integer NOT NULL,
    items int8multirange NOT NULL,
    PRIMARY KEY (run_id, part_no, chunk_no)
);
COMMENT ON TABLE retrofill.elsewhere IS 'The numbers of listed items that were in process with another run when their chunk was screened.';

CREATE TABLE retrofill.awaited (
    run_id bigint NOT NULL REFERENCES retrofill.run ON DELETE CASCADE,
    holder bigint NOT NULL,
    items bigint NOT NULL,
    PRIMARY KEY (run_id, holder)
);
COMMENT ON TABLE retrofill.awaited IS 'How many items that run_id has listed were in process with the run holder when run_id last looked: after planning, and when it was closed.';

-- The in-process cache. It has no index over keys, whose entries took a third of the log: extents
-- say which numbers hold which keys. Nor is it vacuumed while it fills: all that a vacuum finds is
-- that items are visible, which is over when they are settled. None comes before half have gone;
-- only the next set needs their room.
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
-- By identifier first: where nothing is known of the table, the planner would else take the primary
-- key, which begins with job_id too, and read the whole job for each item.
CREATE UNIQUE INDEX unordered_items ON retrofill.in_process (identifier, job_id) WHERE unordered;
COMMENT ON COLUMN retrofill.in_process.content IS 'What only the item''s source and event shape understand.';
COMMENT ON COLUMN retrofill.in_process.attempts IS 'Calls that carried the item and may have run the function.';
COMMENT ON COLUMN retrofill.in_process.failures IS 'Attempts that failed with this item alone to blame.';
COMMENT ON COLUMN retrofill.in_process.call_cap IS 'The most items a call with this one may carry: it was in a failed call of twice as many.';
COMMENT ON COLUMN retrofill.in_process.unsure IS 'An earlier attempt ended without an answer: another may do its work twice.';
COMMENT ON COLUMN retrofill.in_process.blamed_by IS 'The run that has counted it among its items that failed; null: none of those that carried it last.';
COMMENT ON COLUMN retrofill.in_process.unordered IS 'As its job has it.';

-- Extents say which numbers entered together, for which run, and whether all of them are still
-- there. What nobody has planned yet is cut into batches by arithmetic.
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
    -- An item in two extents would be planned twice. This refuses a number that was used before.
    CONSTRAINT extents_do_not_overlap EXCLUDE USING gist (
        int4range(job_id, job_id, '[]') WITH =, int8range(first_seq, last_seq, '[]') WITH &&
    )
);
COMMENT ON TABLE retrofill.extent IS 'A stretch of numbers that entered in_process in one statement for one run, and the keys between which its items lie.';
COMMENT ON COLUMN retrofill.extent.bytes IS 'What the contents of its items took when they entered.';
COMMENT ON COLUMN retrofill.extent.whole IS 'No item of it has left: true until its items are planned, since only what was planned leaves.';

-- Whoever adds items, by whatever statement, thereby notes where they lie: screening could miss
-- them otherwise. With the rights of the owner: only this may add extents.
CREATE FUNCTION retrofill.note_extents() RETURNS trigger
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
            -- Screening and redrive leave no holes. A person may; then each part is an extent.
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

CREATE TRIGGER note_extents AFTER INSERT ON retrofill.in_process
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION retrofill.note_extents();

-- The results cache. A chunk of listed items asks for the key range it covers, and both the
-- table and its index lie in that order: a second run reads what it needs and no more. It reads
-- the index alone where the pages are known to be visible to all; by default that is found out
-- again only when a fifth of the table is new.
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
-- Of expressions, so that nobody takes it who does not name them: where nothing is known of the
-- table, screening would else read by it all items of a run for each page of keys.
CREATE INDEX quarantine_of_run ON retrofill.quarantine ((run_id + 0), (item_key || ''));
COMMENT ON COLUMN retrofill.quarantine.seq IS 'Its number while it was in process: by that, a late success finds it.';
COMMENT ON COLUMN retrofill.quarantine.content IS 'What only the item''s source and event shape understand.';
-- For the groups that a person looks at: which errors there are is read without reading all items.
-- The beginning only: an entry of an index has an end, an error of a function's need not. Of
-- expressions, since the planner, where nothing is known of the table, would else take it in place of
-- the primary key, which begins with job_id too, and read the whole job for each item.
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
COMMENT ON TABLE retrofill.redriven IS 'What quarantine or results said of each item that was redriven, one row for each time.';
COMMENT ON COLUMN retrofill.redriven.settled_by IS 'The run in which it succeeded; null: it came from quarantine.';

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
COMMENT ON TABLE retrofill.redrive IS 'What a person asked of a run that redrives; what became of it is in the run.';
COMMENT ON COLUMN retrofill.redrive.asked_by IS 'Who triggered the DAG run; empty: nobody is known.';
COMMENT ON COLUMN retrofill.redrive.counted IS 'Items that the selection had when the run was opened; null: there were too many to count.';
COMMENT ON COLUMN retrofill.redrive.forecast IS 'Dollars that these were to cost: least, likely, most; null: that was unknown.';

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
    -- The lease, and how far its holder has come.
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
    -- Its share of what the run may do.
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
COMMENT ON COLUMN retrofill.batch.bytes IS 'About what the contents of its items take.';
COMMENT ON COLUMN retrofill.batch.canary IS 'Its items are called before all others of its run, to see what these will take.';
COMMENT ON COLUMN retrofill.batch.sizes IS 'Of a canary: bytes of each of its items, by their numbers; null within: its source does not tell.';
COMMENT ON COLUMN retrofill.batch.epoch IS 'The fencing token: grows with each lease.';
COMMENT ON COLUMN retrofill.batch.may_run_until IS 'Of a holder that went silent: when each call must have ended that it had in flight, as far as they were counted.';
COMMENT ON COLUMN retrofill.batch.counted_for IS 'The leased_until for which they were counted: with another, they are not.';
COMMENT ON COLUMN retrofill.batch.task_id IS 'The task that held it last, within the DAG run of its set; empty: none has.';
COMMENT ON COLUMN retrofill.batch.map_index IS 'Which of the mapped tasks that is; -1: it is not mapped.';
COMMENT ON COLUMN retrofill.batch.settle_no IS 'Number of the last settling transaction, so that one whose commit went unanswered is not applied twice.';
COMMENT ON COLUMN retrofill.batch.pulse_no IS 'How often its holder has added to the pulse of the run, likewise.';
COMMENT ON COLUMN retrofill.batch.allotted IS 'Calls this batch may have in flight, out of its run''s max_concurrency.';
COMMENT ON COLUMN retrofill.batch.call_limit IS 'Calls this batch may ever make, out of its run''s max_calls; null: no limit.';
COMMENT ON COLUMN retrofill.batch.cost_limit IS 'Dollars that the calls of this batch may ever cost, out of its run''s max_cost; null: no limit.';
COMMENT ON COLUMN retrofill.batch.calls_per_second IS 'What its holder was given of its run''s max_calls_per_second.';
COMMENT ON COLUMN retrofill.batch.width IS 'What its holder was given of the run''s width.';
COMMENT ON COLUMN retrofill.batch.in_flight IS 'Calls its holder had in flight when it was allotted its share.';
COMMENT ON COLUMN retrofill.batch.orphans IS 'Calls that nobody waits for and that may be running until orphans_until: they count against max_concurrency.';
COMMENT ON COLUMN retrofill.batch.answered_at IS 'When its holder last told that a call was let through: it ended with anything but a refusal.';
COMMENT ON COLUMN retrofill.batch.refused_since IS 'Not null: since then its holder has heard nothing but refusals, of which refusal is the last.';
COMMENT ON COLUMN retrofill.batch.failing_as IS 'The error by which its items were blamed; empty: by several.';
COMMENT ON COLUMN retrofill.batch.hints IS 'What errors of its calls mean, where no item is the cause.';
COMMENT ON COLUMN retrofill.batch.cost IS 'Dollars that its ended calls cost, by its run''s price; 0 where that is unknown.';
COMMENT ON COLUMN retrofill.batch.cost_from_above IS 'Of these, what was counted from above, since nobody knows what is billed.';
COMMENT ON COLUMN retrofill.batch.calls_settled IS 'Calls that its holder has settled, and all that it made before it had this holder: the rest may be running.';
COMMENT ON COLUMN retrofill.batch.refused IS 'Calls that were refused, so that the function did not run: they do not use up max_calls.';
COMMENT ON COLUMN retrofill.batch.items_answered IS 'Items that the calls which succeeded carried.';
COMMENT ON COLUMN retrofill.batch.blamed IS 'Items that failed alone, each counted when it did so for the first time in the run, or whose answer was lost.';
COMMENT ON COLUMN retrofill.batch.cured IS 'Items that succeeded after they had been blamed.';
COMMENT ON COLUMN retrofill.batch.lost_tasks IS 'Holders that ended without giving the batch back.';
COMMENT ON COLUMN retrofill.batch.slowest IS 'The calls that took longest when its holder last told, those in flight included, the slowest first.';
COMMENT ON COLUMN retrofill.batch.slowest_ms IS 'How long each of them had taken, in milliseconds.';

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
COMMENT ON TABLE retrofill.call_count IS 'How the calls of a batch ended that did not succeed; those that did are counted in the batch itself.';
COMMENT ON COLUMN retrofill.call_count.last_at IS 'When the last of them ended.';
COMMENT ON COLUMN retrofill.call_count.last_calls IS 'The numbers of the last of them, the newest last.';
COMMENT ON COLUMN retrofill.call_count.cost IS 'Of the batch''s cost, what these calls cost.';

-- A row grows by two thirds when its call ends. Where the page has room for that, the index over
-- calls is left alone, and the old version goes without a vacuum.
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
COMMENT ON COLUMN retrofill.invocation.items IS 'The numbers (seq) of the items it carried.';
COMMENT ON COLUMN retrofill.invocation.took_ms IS 'Milliseconds to its whole answer, as the client measured them; null: it has none, or the run counts no usage.';
COMMENT ON COLUMN retrofill.invocation.billed_ms IS 'Milliseconds that are billed for it, as the service of the function says; null: it says nothing.';
COMMENT ON COLUMN retrofill.invocation.memory_mb IS 'The most memory the function used in it, likewise.';
COMMENT ON COLUMN retrofill.invocation.init_ms IS 'Milliseconds, of those billed, that started an environment for it; null: none were told.';
COMMENT ON COLUMN retrofill.invocation.keys IS 'Of a call that did not succeed: the keys of the first items that it carried; null: nobody has told.';
COMMENT ON COLUMN retrofill.invocation.duplicates IS 'Items it carried of which an earlier attempt ended without an answer.';

-- Which version of the function ran the last call of an item: the call says it, or else its run.
-- Named in FROM, the planner takes it into the statement. It reads the versions of all runs of the
-- job at once: where nothing is known of the table, one look-up for each item might read it whole.
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

-- Who changed a run, and what it did by itself.
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
COMMENT ON TABLE retrofill.event IS 'What happened to a run: what people changed, and why it stopped.';
COMMENT ON COLUMN retrofill.event.who IS 'Who did it; empty: Retrofill itself.';
COMMENT ON COLUMN retrofill.event.what IS 'paused, resumed, stopped, the name of a limit that was changed, or what became of the plan.';
COMMENT ON COLUMN retrofill.event.value IS 'The new value of a limit, empty where it has none any more; or the reason.';
COMMENT ON COLUMN retrofill.event.was IS 'The value before.';

-- What calls of a run did in each slice of its time: all tasks add to one row.
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
COMMENT ON COLUMN retrofill.pulse.second IS 'Where the slice begins, in seconds since the run was opened, but for those in which it waited for people.';
COMMENT ON COLUMN retrofill.pulse.seconds IS 'How long the slice is.';
COMMENT ON COLUMN retrofill.pulse.at IS 'When the slice began.';
COMMENT ON COLUMN retrofill.pulse.calls IS 'Calls that ended.';
COMMENT ON COLUMN retrofill.pulse.succeeded IS 'Items that succeeded.';
COMMENT ON COLUMN retrofill.pulse.troubles IS 'Calls that did not succeed, by cause or, where the outcome has none, by outcome.';
COMMENT ON COLUMN retrofill.pulse.call_seconds IS 'Seconds that calls were in flight, all together: by the length of the slice, how many were.';
COMMENT ON COLUMN retrofill.pulse.most_in_flight IS 'How many calls might be in flight at its end.';
COMMENT ON COLUMN retrofill.pulse.latency IS 'How many calls took how long, refused ones left out: each number counts those up to 2^(1/4) times as long as the one before, beginning with those below 1 ms.';

-- The public contract: what dashboards and checks may rely on.

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
    coalesce(reasons.left_out, '{}') AS left_out,
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
    troubles.lost,
    coalesce(others.items, 0)::bigint AS with_others,
    coalesce(others.runs, '[]') AS others,
    run.source_seen,
    coalesce(calls.lost_tasks, 0) AS lost_tasks,
    troubles.answer_lost,
    hints.hints,
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
    SELECT jsonb_object_agg(reason, items) AS left_out
    FROM (
        SELECT reason, sum(items::bigint) AS items
        FROM retrofill.partition
        CROSS JOIN LATERAL jsonb_each_text(partition.left_out) AS counted (reason, items)
        WHERE partition.run_id = run.run_id
        GROUP BY reason
    ) AS summed
) AS reasons ON true
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
        coalesce(sum(count.calls) FILTER (WHERE outcome = 'failed'), 0)::bigint AS failed,
        coalesce(sum(count.calls) FILTER (WHERE cause = 'timed_out'), 0)::bigint AS timed_out,
        coalesce(sum(count.calls) FILTER (WHERE cause = 'out_of_memory'), 0)::bigint
            AS out_of_memory,
        coalesce(sum(count.calls) FILTER (WHERE cause = 'crashed'), 0)::bigint AS crashed,
        coalesce(sum(count.calls) FILTER (WHERE cause = 'handled'), 0)::bigint AS handled,
        coalesce(sum(count.calls) FILTER (WHERE cause = 'unhandled'), 0)::bigint AS unhandled,
        coalesce(sum(count.calls) FILTER (WHERE cause = 'malformed_answer'), 0)::bigint
            AS malformed_answer,
        coalesce(sum(count.calls) FILTER (WHERE cause = 'answer_lost'), 0)::bigint AS answer_lost,
        coalesce(sum(count.calls) FILTER (WHERE outcome = 'throttled'), 0)::bigint AS throttled,
        coalesce(sum(count.calls) FILTER (WHERE outcome = 'starting'), 0)::bigint AS starting,
        coalesce(sum(count.calls) FILTER (WHERE outcome = 'unknown'), 0)::bigint AS unknown,
        coalesce(sum(count.calls) FILTER (WHERE outcome = 'misconfigured'), 0)::bigint
            AS misconfigured,
        coalesce(sum(count.calls) FILTER (WHERE outcome = 'too_large'), 0)::bigint AS too_large,
        coalesce(sum(count.calls) FILTER (WHERE outcome = 'lost'), 0)::bigint AS lost,
        sum(count.calls) FILTER (WHERE outcome IN ('failed', 'unknown', 'lost')) AS charged_calls,
        sum(count.items) FILTER (WHERE outcome IN ('failed', 'unknown', 'lost')) AS charged_items
    FROM retrofill.batch CROSS JOIN LATERAL (
        SELECT outcome, cause, calls, items FROM retrofill.call_count
        WHERE call_count.batch_id = batch.batch_id
        OFFSET 0
    ) AS count
    WHERE batch.run_id = run.run_id
) AS troubles ON true
CROSS JOIN LATERAL (
    -- Null: what calls cost is unknown. A call that was refused costs nothing.
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
    SELECT ARRAY(
        SELECT DISTINCT unnest(batch.hints) FROM retrofill.batch
        WHERE batch.run_id = run.run_id ORDER BY 1
    ) AS hints
) AS hints ON true
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
COMMENT ON VIEW retrofill.v_outcome IS 'One row per run and way in which calls of it ended; it stays when the calls themselves are forgotten.';

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
COMMENT ON VIEW retrofill.v_quarantine IS 'One row per item that waits for a person.';

CREATE VIEW retrofill.v_redriven AS
SELECT
    job.name AS job, item_key, identifier, run_id, redriven_at, quarantined_by, quarantined_at,
    attempts, failures, unsure, request_id, error_type, error, settled_by, settled_at
FROM retrofill.redriven JOIN retrofill.job USING (job_id);
COMMENT ON VIEW retrofill.v_redriven IS 'One row per item and time it was redriven: what quarantine or results said of it.';

CREATE VIEW retrofill.v_event AS
SELECT job.name AS job, run_id, at, who, what, value, was
FROM retrofill.event JOIN retrofill.run USING (run_id) JOIN retrofill.job USING (job_id);
COMMENT ON VIEW retrofill.v_event IS 'One row per thing that happened to a run: who did it; empty: Retrofill itself.';

CREATE VIEW retrofill.v_pulse AS
SELECT
    job.name AS job, run_id, at, seconds, calls, succeeded, quarantined, troubles,
    call_seconds / seconds AS in_flight, most_in_flight, median_ms, p95_ms
FROM retrofill.pulse
JOIN retrofill.run USING (run_id)
JOIN retrofill.job USING (job_id)
CROSS JOIN LATERAL (
    -- The middle of the first rung that the share of calls reaches.
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
COMMENT ON VIEW retrofill.v_pulse IS 'One row per run and slice of its time in which it called: what its calls did in it.';
