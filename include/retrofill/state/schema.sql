-- Today's schema, as the migrations make it; to be read, not run: each table stands with all that
-- belongs to it. After a new migration, write it anew: python -m tests.schema


CREATE SCHEMA retrofill;


CREATE TYPE retrofill.outcome AS ENUM (
    'succeeded',
    'failed',
    'throttled',
    'starting',
    'unknown',
    'misconfigured',
    'too_large',
    'lost'
);


CREATE TYPE retrofill.run_state AS ENUM (
    'open',
    'complete',
    'incomplete'
);


CREATE FUNCTION retrofill.note_extents() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS $$
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


CREATE TABLE retrofill.awaited (
    run_id bigint NOT NULL,
    holder bigint NOT NULL,
    items bigint NOT NULL
);
COMMENT ON TABLE retrofill.awaited IS 'How many items that run_id has listed were in process with the run holder when run_id last looked: after planning, and when it was closed.';

ALTER TABLE ONLY retrofill.awaited
    ADD CONSTRAINT awaited_pkey PRIMARY KEY (run_id, holder);

ALTER TABLE ONLY retrofill.awaited
    ADD CONSTRAINT awaited_run_id_fkey FOREIGN KEY (run_id) REFERENCES retrofill.run(run_id) ON DELETE CASCADE;


CREATE TABLE retrofill.batch (
    batch_id bigint NOT NULL,
    job_id integer NOT NULL,
    run_id bigint NOT NULL,
    set_no integer NOT NULL,
    first_seq bigint NOT NULL,
    last_seq bigint NOT NULL,
    items integer NOT NULL,
    epoch integer DEFAULT 0 NOT NULL,
    holder text,
    leased_until timestamp with time zone,
    settle_no bigint DEFAULT 0 NOT NULL,
    next_call integer DEFAULT 1 NOT NULL,
    wanted integer DEFAULT 0 NOT NULL,
    allotted integer DEFAULT 0 NOT NULL,
    calls integer DEFAULT 0 NOT NULL,
    retries integer DEFAULT 0 NOT NULL,
    duplicates integer DEFAULT 0 NOT NULL,
    succeeded integer DEFAULT 0 NOT NULL,
    quarantined integer DEFAULT 0 NOT NULL,
    planned_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    done_at timestamp with time zone,
    calls_succeeded integer DEFAULT 0 NOT NULL,
    items_answered bigint DEFAULT 0 NOT NULL,
    blamed integer DEFAULT 0 NOT NULL,
    cured integer DEFAULT 0 NOT NULL,
    call_limit bigint,
    in_flight integer DEFAULT 0 NOT NULL,
    calls_per_second double precision DEFAULT 0 NOT NULL,
    width integer,
    orphans integer DEFAULT 0 NOT NULL,
    orphans_until timestamp with time zone,
    bytes bigint DEFAULT 0 NOT NULL,
    CONSTRAINT batch_is_not_empty CHECK ((first_seq <= last_seq))
)
WITH (fillfactor='50');
COMMENT ON COLUMN retrofill.batch.epoch IS 'The fencing token: grows with each lease.';
COMMENT ON COLUMN retrofill.batch.settle_no IS 'Number of the last settling transaction, so that one whose commit went unanswered is not applied twice.';
COMMENT ON COLUMN retrofill.batch.allotted IS 'Calls this batch may have in flight, out of its run''s max_concurrency.';
COMMENT ON COLUMN retrofill.batch.items_answered IS 'Items that the calls which succeeded carried.';
COMMENT ON COLUMN retrofill.batch.blamed IS 'Items that failed alone, each counted when it did so for the first time.';
COMMENT ON COLUMN retrofill.batch.cured IS 'Items that succeeded after they had been blamed.';
COMMENT ON COLUMN retrofill.batch.call_limit IS 'Calls this batch may ever make, out of its run''s max_calls; null: no limit.';
COMMENT ON COLUMN retrofill.batch.in_flight IS 'Calls its holder had in flight when it was allotted its share.';
COMMENT ON COLUMN retrofill.batch.calls_per_second IS 'What its holder was given of its run''s max_calls_per_second.';
COMMENT ON COLUMN retrofill.batch.width IS 'What its holder was given of the run''s width.';
COMMENT ON COLUMN retrofill.batch.orphans IS 'Calls that nobody waits for and that may be running until orphans_until: they count against max_concurrency.';
COMMENT ON COLUMN retrofill.batch.bytes IS 'About what the contents of its items take.';

ALTER TABLE retrofill.batch ALTER COLUMN batch_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME retrofill.batch_batch_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE ONLY retrofill.batch
    ADD CONSTRAINT batch_pkey PRIMARY KEY (batch_id);

CREATE INDEX batch_of_run ON retrofill.batch USING btree (run_id);

CREATE INDEX open_batch_of_job ON retrofill.batch USING btree (job_id, first_seq) WHERE (done_at IS NULL);

ALTER TABLE ONLY retrofill.batch
    ADD CONSTRAINT batch_run_id_fkey FOREIGN KEY (run_id) REFERENCES retrofill.run(run_id) ON DELETE CASCADE;


CREATE TABLE retrofill.call_count (
    batch_id bigint NOT NULL,
    outcome retrofill.outcome NOT NULL,
    cause text NOT NULL,
    calls bigint NOT NULL,
    items bigint NOT NULL
);
COMMENT ON TABLE retrofill.call_count IS 'How the calls of a batch ended that did not succeed; those that did are counted in the batch itself.';

ALTER TABLE ONLY retrofill.call_count
    ADD CONSTRAINT call_count_pkey PRIMARY KEY (batch_id, outcome, cause);

ALTER TABLE ONLY retrofill.call_count
    ADD CONSTRAINT call_count_batch_id_fkey FOREIGN KEY (batch_id) REFERENCES retrofill.batch(batch_id) ON DELETE CASCADE;


CREATE TABLE retrofill.elsewhere (
    run_id bigint NOT NULL,
    part_no integer NOT NULL,
    chunk_no integer NOT NULL,
    items int8multirange NOT NULL
);
COMMENT ON TABLE retrofill.elsewhere IS 'The numbers of listed items that were in process with another run when their chunk was screened.';

ALTER TABLE ONLY retrofill.elsewhere
    ADD CONSTRAINT elsewhere_pkey PRIMARY KEY (run_id, part_no, chunk_no);

ALTER TABLE ONLY retrofill.elsewhere
    ADD CONSTRAINT elsewhere_run_id_fkey FOREIGN KEY (run_id) REFERENCES retrofill.run(run_id) ON DELETE CASCADE;


CREATE TABLE retrofill.extent (
    job_id integer NOT NULL,
    first_seq bigint NOT NULL,
    last_seq bigint NOT NULL,
    run_id bigint NOT NULL,
    first_key text NOT NULL COLLATE pg_catalog."C",
    last_key text NOT NULL COLLATE pg_catalog."C",
    whole boolean DEFAULT true NOT NULL,
    bytes bigint DEFAULT 0 NOT NULL,
    CONSTRAINT extent_is_short CHECK ((((last_seq - first_seq) >= 0) AND ((last_seq - first_seq) <= 9999)))
);
COMMENT ON TABLE retrofill.extent IS 'A stretch of numbers that entered in_process in one statement for one run, and the keys between which its items lie.';
COMMENT ON COLUMN retrofill.extent.whole IS 'No item of it has left: true until its items are planned, since only what was planned leaves.';
COMMENT ON COLUMN retrofill.extent.bytes IS 'What the contents of its items took when they entered.';

ALTER TABLE ONLY retrofill.extent
    ADD CONSTRAINT extent_pkey PRIMARY KEY (job_id, first_seq);

ALTER TABLE ONLY retrofill.extent
    ADD CONSTRAINT extents_do_not_overlap EXCLUDE USING gist (int4range(job_id, job_id, '[]'::text) WITH =, int8range(first_seq, last_seq, '[]'::text) WITH &&);

ALTER TABLE ONLY retrofill.extent
    ADD CONSTRAINT extent_job_id_fkey FOREIGN KEY (job_id) REFERENCES retrofill.job(job_id) ON DELETE CASCADE;


CREATE TABLE retrofill.in_process (
    job_id integer NOT NULL,
    seq bigint NOT NULL,
    run_id bigint NOT NULL,
    identifier uuid NOT NULL,
    item_key text NOT NULL COLLATE pg_catalog."C",
    content text DEFAULT ''::text CONSTRAINT in_process_etag_not_null NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    failures integer DEFAULT 0 NOT NULL,
    call_cap integer,
    not_before timestamp with time zone,
    unsure boolean DEFAULT false NOT NULL,
    unordered boolean DEFAULT false NOT NULL
)
WITH (autovacuum_vacuum_cost_delay='0', autovacuum_vacuum_insert_threshold='-1', autovacuum_vacuum_scale_factor='0.5');
COMMENT ON COLUMN retrofill.in_process.content IS 'What only the item''s source and event shape understand.';
COMMENT ON COLUMN retrofill.in_process.attempts IS 'Calls that carried the item and may have run the function.';
COMMENT ON COLUMN retrofill.in_process.failures IS 'Attempts that failed with this item alone to blame.';
COMMENT ON COLUMN retrofill.in_process.call_cap IS 'The most items a call with this one may carry: it was in a failed call of twice as many.';
COMMENT ON COLUMN retrofill.in_process.unsure IS 'An earlier attempt ended without an answer: another may do its work twice.';
COMMENT ON COLUMN retrofill.in_process.unordered IS 'As its job has it.';

ALTER TABLE ONLY retrofill.in_process
    ADD CONSTRAINT in_process_pkey PRIMARY KEY (job_id, seq);

CREATE UNIQUE INDEX unordered_items ON retrofill.in_process USING btree (identifier, job_id) WHERE unordered;

CREATE TRIGGER note_extents AFTER INSERT ON retrofill.in_process REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION retrofill.note_extents();


CREATE TABLE retrofill.invocation (
    batch_id bigint NOT NULL,
    call_no integer NOT NULL,
    epoch integer NOT NULL,
    items int8multirange NOT NULL,
    item_count integer NOT NULL,
    attempt integer NOT NULL,
    duplicates integer NOT NULL,
    sent_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    ended_at timestamp with time zone,
    outcome retrofill.outcome,
    request_id text,
    executed_version text,
    error_type text,
    error text,
    CONSTRAINT invocation_has_outcome_and_ended_at_together CHECK (((outcome IS NULL) = (ended_at IS NULL)))
)
WITH (fillfactor='40');
COMMENT ON TABLE retrofill.invocation IS 'One row per HTTP request to the function, committed before the request leaves.';
COMMENT ON COLUMN retrofill.invocation.items IS 'The numbers (seq) of the items it carried.';
COMMENT ON COLUMN retrofill.invocation.duplicates IS 'Items it carried of which an earlier attempt ended without an answer.';

ALTER TABLE ONLY retrofill.invocation
    ADD CONSTRAINT invocation_pkey PRIMARY KEY (batch_id, call_no);

ALTER TABLE ONLY retrofill.invocation
    ADD CONSTRAINT invocation_batch_id_fkey FOREIGN KEY (batch_id) REFERENCES retrofill.batch(batch_id) ON DELETE CASCADE;


CREATE TABLE retrofill.job (
    job_id integer NOT NULL,
    name text NOT NULL,
    fingerprint text NOT NULL,
    source text NOT NULL,
    function_name text NOT NULL,
    event text NOT NULL,
    next_seq bigint DEFAULT 1 NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    forgotten_at timestamp with time zone,
    unordered boolean DEFAULT false NOT NULL
);
COMMENT ON COLUMN retrofill.job.next_seq IS 'The number of the next item to enter in_process.';
COMMENT ON COLUMN retrofill.job.forgotten_at IS 'Not null: what it knows is being deleted, and no run of it is opened.';
COMMENT ON COLUMN retrofill.job.unordered IS 'A source without order has screened for it: its items are found one by one.';

ALTER TABLE retrofill.job ALTER COLUMN job_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME retrofill.job_job_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE ONLY retrofill.job
    ADD CONSTRAINT job_names_are_unique UNIQUE (name);

ALTER TABLE ONLY retrofill.job
    ADD CONSTRAINT job_pkey PRIMARY KEY (job_id);


CREATE TABLE retrofill.migration (
    number integer NOT NULL,
    name text NOT NULL,
    applied_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    oldest_code integer
);
COMMENT ON COLUMN retrofill.migration.oldest_code IS 'The oldest version of the code that runs with it; null: its own.';

ALTER TABLE ONLY retrofill.migration
    ADD CONSTRAINT migration_pkey PRIMARY KEY (number);


CREATE TABLE retrofill.partition (
    run_id bigint NOT NULL,
    part_no integer NOT NULL,
    label text NOT NULL,
    description jsonb NOT NULL,
    cursor text,
    chunk_no integer DEFAULT 0 NOT NULL,
    listed bigint DEFAULT 0 NOT NULL,
    new bigint DEFAULT 0 NOT NULL,
    known bigint DEFAULT 0 NOT NULL,
    done boolean DEFAULT false NOT NULL,
    recent bytea DEFAULT '\x'::bytea NOT NULL,
    seen integer,
    left_out jsonb DEFAULT '{}'::jsonb NOT NULL,
    CONSTRAINT partition_listed_is_new_and_known CHECK ((listed = (new + known)))
);
ALTER TABLE ONLY retrofill.partition ALTER COLUMN recent SET STORAGE EXTERNAL;
COMMENT ON COLUMN retrofill.partition.cursor IS 'The source''s own text: behind it is what has not been screened.';
COMMENT ON COLUMN retrofill.partition.recent IS 'Identifiers, 16 bytes each, of items that are counted and may be listed again: those of the page before the cursor, and of the page behind it as far as it has been screened.';
COMMENT ON COLUMN retrofill.partition.seen IS 'Keys that the source saw in it when it was divided, filters aside; null: it did not look.';
COMMENT ON COLUMN retrofill.partition.left_out IS 'How much was seen and is not among the items, by reason.';

ALTER TABLE ONLY retrofill.partition
    ADD CONSTRAINT partition_pkey PRIMARY KEY (run_id, part_no);

ALTER TABLE ONLY retrofill.partition
    ADD CONSTRAINT partition_run_id_fkey FOREIGN KEY (run_id) REFERENCES retrofill.run(run_id) ON DELETE CASCADE;


CREATE TABLE retrofill.quarantine (
    job_id integer NOT NULL,
    item_key text NOT NULL COLLATE pg_catalog."C",
    identifier uuid NOT NULL,
    run_id bigint NOT NULL,
    batch_id bigint NOT NULL,
    call_no integer NOT NULL,
    content text DEFAULT ''::text CONSTRAINT quarantine_etag_not_null NOT NULL,
    attempts integer NOT NULL,
    failures integer NOT NULL,
    unsure boolean NOT NULL,
    request_id text NOT NULL,
    error_type text NOT NULL,
    error text NOT NULL,
    quarantined_at timestamp with time zone NOT NULL,
    seq bigint
);
COMMENT ON COLUMN retrofill.quarantine.content IS 'What only the item''s source and event shape understand.';
COMMENT ON COLUMN retrofill.quarantine.seq IS 'Its number while it was in process: by that, a late success finds it.';

ALTER TABLE ONLY retrofill.quarantine
    ADD CONSTRAINT quarantine_pkey PRIMARY KEY (job_id, item_key, identifier);


CREATE TABLE retrofill.redriven (
    job_id integer NOT NULL,
    item_key text NOT NULL COLLATE pg_catalog."C",
    identifier uuid NOT NULL,
    run_id bigint NOT NULL,
    quarantined_by bigint NOT NULL,
    attempts integer NOT NULL,
    failures integer NOT NULL,
    unsure boolean NOT NULL,
    request_id text NOT NULL,
    error_type text NOT NULL,
    error text NOT NULL,
    quarantined_at timestamp with time zone NOT NULL,
    redriven_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);
COMMENT ON TABLE retrofill.redriven IS 'What quarantine said of each item that was redriven, one row for each time.';

ALTER TABLE ONLY retrofill.redriven
    ADD CONSTRAINT redriven_pkey PRIMARY KEY (job_id, item_key, identifier, run_id);


CREATE TABLE retrofill.results (
    job_id integer NOT NULL,
    item_key text NOT NULL COLLATE pg_catalog."C",
    identifier uuid NOT NULL,
    run_id bigint NOT NULL,
    batch_id bigint NOT NULL,
    call_no integer NOT NULL,
    attempts integer NOT NULL,
    settled_at timestamp with time zone NOT NULL
)
WITH (autovacuum_vacuum_insert_scale_factor='0.02', autovacuum_analyze_scale_factor='0.02');

ALTER TABLE ONLY retrofill.results
    ADD CONSTRAINT results_pkey PRIMARY KEY (job_id, item_key, identifier);


CREATE TABLE retrofill.run (
    run_id bigint NOT NULL,
    job_id integer NOT NULL,
    state retrofill.run_state DEFAULT 'open'::retrofill.run_state NOT NULL,
    config jsonb NOT NULL,
    modified_after timestamp with time zone,
    modified_before timestamp with time zone,
    function_timeout_s integer NOT NULL,
    stop_reason text,
    opened_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    closed_at timestamp with time zone,
    notified_at timestamp with time zone,
    delivery jsonb,
    width integer,
    source_seen boolean DEFAULT false NOT NULL,
    limits jsonb NOT NULL,
    function jsonb NOT NULL,
    CONSTRAINT run_concurrency_ceiling_is_positive CHECK ((((limits ->> 'concurrency_ceiling'::text))::integer >= 1)),
    CONSTRAINT run_function_is_pinned CHECK (((function ?& ARRAY['kind'::text, 'name'::text, 'version'::text, 'facts'::text]) AND (NOT jsonb_path_exists((function - 'facts'::text), '$.*?(@.type() != "string")'::jsonpath)) AND (jsonb_typeof((function -> 'facts'::text)) = 'object'::text))),
    CONSTRAINT run_is_open_or_has_closed_at CHECK (((state = 'open'::retrofill.run_state) = (closed_at IS NULL))),
    CONSTRAINT run_limits_are_numbers CHECK ((NOT jsonb_path_exists((limits - 'paused'::text), '$.*?(@.type() != "number" && @.type() != "null")'::jsonpath))),
    CONSTRAINT run_limits_are_those_there_are CHECK (((limits ?& ARRAY['max_concurrency'::text, 'max_items_per_set'::text, 'max_calls_per_second'::text, 'max_calls'::text, 'max_minutes'::text, 'max_failure_percent'::text, 'min_items_judged'::text, 'concurrency_ceiling'::text, 'paused'::text]) AND ((limits - ARRAY['max_concurrency'::text, 'max_items_per_set'::text, 'max_calls_per_second'::text, 'max_calls'::text, 'max_minutes'::text, 'max_failure_percent'::text, 'min_items_judged'::text, 'concurrency_ceiling'::text, 'paused'::text]) = '{}'::jsonb))),
    CONSTRAINT run_max_calls_is_not_negative CHECK ((((limits ->> 'max_calls'::text))::bigint >= 0)),
    CONSTRAINT run_max_calls_per_second_is_positive CHECK ((((limits ->> 'max_calls_per_second'::text))::double precision > (0)::double precision)),
    CONSTRAINT run_max_concurrency_is_positive CHECK ((COALESCE(((limits ->> 'max_concurrency'::text))::integer, 0) >= 1)),
    CONSTRAINT run_max_failure_percent_is_a_percentage CHECK (((((limits ->> 'max_failure_percent'::text))::integer >= 0) AND (((limits ->> 'max_failure_percent'::text))::integer <= 100))),
    CONSTRAINT run_max_items_per_set_is_positive CHECK ((COALESCE(((limits ->> 'max_items_per_set'::text))::bigint, (0)::bigint) >= 1)),
    CONSTRAINT run_max_minutes_is_not_negative CHECK ((((limits ->> 'max_minutes'::text))::integer >= 0)),
    CONSTRAINT run_min_items_judged_is_a_number CHECK ((COALESCE(((limits ->> 'min_items_judged'::text))::bigint, ('-1'::integer)::bigint) >= 0)),
    CONSTRAINT run_paused_is_true_or_false CHECK ((jsonb_typeof((limits -> 'paused'::text)) = 'boolean'::text))
);
COMMENT ON TABLE retrofill.run IS 'One pass over the source of a job.';
COMMENT ON COLUMN retrofill.run.stop_reason IS 'Not null: no task of the run may send another call.';
COMMENT ON COLUMN retrofill.run.delivery IS 'Event shape, items per call, answer contract, and what is taken over from a live trigger; null: as in config.';
COMMENT ON COLUMN retrofill.run.width IS 'Calls in flight that the endpoint was found to take, over all tasks; null: all so far.';
COMMENT ON COLUMN retrofill.run.source_seen IS 'Whether the source had an object when the run was opened, filters aside.';
COMMENT ON COLUMN retrofill.run.limits IS 'What the run may do as a whole; null: no such limit. concurrency_ceiling is what reserve_percent leaves: a higher max_concurrency has no effect.';
COMMENT ON COLUMN retrofill.run.function IS 'The function as it was found when the run was opened: kind, name, version, and facts in the words of its kind.';

ALTER TABLE retrofill.run ALTER COLUMN run_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME retrofill.run_run_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE ONLY retrofill.run
    ADD CONSTRAINT run_pkey PRIMARY KEY (run_id);

CREATE INDEX run_of_job ON retrofill.run USING btree (job_id);

ALTER TABLE ONLY retrofill.run
    ADD CONSTRAINT run_job_id_fkey FOREIGN KEY (job_id) REFERENCES retrofill.job(job_id);


CREATE TABLE retrofill.run_set (
    run_id bigint NOT NULL,
    set_no integer NOT NULL,
    dag_id text NOT NULL,
    dag_run_id text NOT NULL,
    items_taken bigint DEFAULT 0 NOT NULL,
    max_items bigint NOT NULL,
    resumed bigint DEFAULT 0 NOT NULL,
    opened_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    planned_at timestamp with time zone,
    closed_at timestamp with time zone,
    redriven bigint DEFAULT 0 NOT NULL,
    CONSTRAINT run_set_takes_no_more_than_max_items CHECK ((items_taken <= max_items))
);
COMMENT ON TABLE retrofill.run_set IS 'What one DAG run of a run takes.';

ALTER TABLE ONLY retrofill.run_set
    ADD CONSTRAINT run_set_has_a_dag_run_of_its_own UNIQUE (dag_id, dag_run_id);

ALTER TABLE ONLY retrofill.run_set
    ADD CONSTRAINT run_set_pkey PRIMARY KEY (run_id, set_no);

ALTER TABLE ONLY retrofill.run_set
    ADD CONSTRAINT run_set_run_id_fkey FOREIGN KEY (run_id) REFERENCES retrofill.run(run_id) ON DELETE CASCADE;


CREATE VIEW retrofill.v_call AS
 SELECT job.name AS job,
    batch.run_id,
    batch.set_no,
    invocation.batch_id,
    invocation.call_no,
    invocation.item_count,
    invocation.attempt,
    invocation.duplicates,
    invocation.sent_at,
    invocation.ended_at,
    invocation.outcome,
    invocation.request_id,
    invocation.executed_version,
    invocation.error_type,
    invocation.error
   FROM ((retrofill.invocation
     JOIN retrofill.batch USING (batch_id))
     JOIN retrofill.job USING (job_id));
COMMENT ON VIEW retrofill.v_call IS 'One row per call to the function.';


CREATE VIEW retrofill.v_item AS
 SELECT job.name AS job,
    in_process.item_key,
    in_process.identifier,
    'in_process'::text AS place,
    in_process.run_id,
    in_process.attempts
   FROM (retrofill.in_process
     JOIN retrofill.job USING (job_id))
UNION ALL
 SELECT job.name AS job,
    results.item_key,
    results.identifier,
    'results'::text AS place,
    results.run_id,
    results.attempts
   FROM (retrofill.results
     JOIN retrofill.job USING (job_id))
UNION ALL
 SELECT job.name AS job,
    quarantine.item_key,
    quarantine.identifier,
    'quarantine'::text AS place,
    quarantine.run_id,
    quarantine.attempts
   FROM (retrofill.quarantine
     JOIN retrofill.job USING (job_id));
COMMENT ON VIEW retrofill.v_item IS 'One row per item, and the one place it is in.';


CREATE VIEW retrofill.v_outcome AS
 SELECT batch.run_id,
    job.name AS job,
    ended.outcome,
    ended.cause,
    (sum(ended.calls))::bigint AS calls,
    (sum(ended.items))::bigint AS items
   FROM ((retrofill.batch
     JOIN retrofill.job USING (job_id))
     JOIN LATERAL ( SELECT 'succeeded'::retrofill.outcome AS outcome,
            ''::text AS cause,
            (batch.calls_succeeded)::bigint AS calls,
            batch.items_answered AS items
        UNION ALL
         SELECT count.outcome,
            count.cause,
            count.calls,
            count.items
           FROM retrofill.call_count count
          WHERE (count.batch_id = batch.batch_id)) ended ON ((ended.calls > 0)))
  GROUP BY batch.run_id, job.name, ended.outcome, ended.cause;
COMMENT ON VIEW retrofill.v_outcome IS 'One row per run and way in which calls of it ended; it stays when the calls themselves are forgotten.';


CREATE VIEW retrofill.v_quarantine AS
 SELECT job.name AS job,
    quarantine.item_key,
    quarantine.identifier,
    quarantine.run_id,
    quarantine.content,
    quarantine.attempts,
    quarantine.failures,
    quarantine.request_id,
    quarantine.error_type,
    quarantine.error,
    quarantine.quarantined_at,
    quarantine.unsure,
    ( SELECT count(*) AS count
           FROM retrofill.redriven
          WHERE ((redriven.job_id = quarantine.job_id) AND (redriven.item_key = quarantine.item_key) AND (redriven.identifier = quarantine.identifier))) AS redrives
   FROM (retrofill.quarantine
     JOIN retrofill.job USING (job_id));
COMMENT ON VIEW retrofill.v_quarantine IS 'One row per item that waits for a person.';


CREATE VIEW retrofill.v_redriven AS
 SELECT job.name AS job,
    redriven.item_key,
    redriven.identifier,
    redriven.run_id,
    redriven.redriven_at,
    redriven.quarantined_by,
    redriven.quarantined_at,
    redriven.attempts,
    redriven.failures,
    redriven.unsure,
    redriven.request_id,
    redriven.error_type,
    redriven.error
   FROM (retrofill.redriven
     JOIN retrofill.job USING (job_id));
COMMENT ON VIEW retrofill.v_redriven IS 'One row per item and time it was redriven: what quarantine said of it.';


CREATE VIEW retrofill.v_run AS
 SELECT run.run_id,
    job.name AS job,
    run.state,
    job.source,
    (run.function ->> 'name'::text) AS function_name,
    (run.function ->> 'version'::text) AS function_version,
    COALESCE(sets.sets, (0)::bigint) AS sets,
    COALESCE(parts.partitions, (0)::bigint) AS partitions,
    COALESCE(parts.partitions_left, (0)::bigint) AS partitions_left,
    COALESCE(parts.listed, (0)::bigint) AS listed,
    COALESCE(parts.known, (0)::bigint) AS known,
    COALESCE(parts.new, (0)::bigint) AS new,
    COALESCE(sets.resumed, (0)::bigint) AS resumed,
    COALESCE(reasons.left_out, '{}'::jsonb) AS left_out,
    COALESCE(calls.succeeded, (0)::bigint) AS succeeded,
    COALESCE(calls.quarantined, (0)::bigint) AS quarantined,
    ((((COALESCE(parts.new, (0)::bigint) + COALESCE(sets.resumed, (0)::bigint)) + COALESCE(sets.redriven, (0)::bigint)) - COALESCE(calls.succeeded, (0)::bigint)) - COALESCE(calls.quarantined, (0)::bigint)) AS items_left,
    COALESCE(calls.calls, (0)::bigint) AS calls,
    COALESCE(calls.retries, (0)::bigint) AS retries,
    COALESCE(calls.duplicates, (0)::bigint) AS duplicates,
    run.opened_at,
    run.closed_at,
    run.notified_at,
    run.stop_reason,
    COALESCE(((run.config ->> 'redrive'::text))::boolean, false) AS redrive,
    COALESCE(sets.redriven, (0)::bigint) AS redriven,
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
    (COALESCE(others.items, (0)::numeric))::bigint AS with_others,
    COALESCE(others.runs, '[]'::jsonb) AS others,
    run.source_seen
   FROM (((((((retrofill.run
     JOIN retrofill.job USING (job_id))
     LEFT JOIN LATERAL ( SELECT count(*) AS sets,
            (sum(run_set.resumed))::bigint AS resumed,
            (sum(run_set.redriven))::bigint AS redriven
           FROM retrofill.run_set
          WHERE (run_set.run_id = run.run_id)) sets ON (true))
     LEFT JOIN LATERAL ( SELECT count(*) AS partitions,
            count(*) FILTER (WHERE (NOT partition.done)) AS partitions_left,
            (sum(partition.listed))::bigint AS listed,
            (sum(partition.new))::bigint AS new,
            (sum(partition.known))::bigint AS known
           FROM retrofill.partition
          WHERE (partition.run_id = run.run_id)) parts ON (true))
     LEFT JOIN LATERAL ( SELECT jsonb_object_agg(summed.reason, summed.items) AS left_out
           FROM ( SELECT counted.reason,
                    sum((counted.items)::bigint) AS items
                   FROM (retrofill.partition
                     CROSS JOIN LATERAL jsonb_each_text(partition.left_out) counted(reason, items))
                  WHERE (partition.run_id = run.run_id)
                  GROUP BY counted.reason) summed) reasons ON (true))
     LEFT JOIN LATERAL ( SELECT sum(batch.succeeded) AS succeeded,
            sum(batch.quarantined) AS quarantined,
            sum(batch.calls) AS calls,
            sum(batch.retries) AS retries,
            sum(batch.duplicates) AS duplicates
           FROM retrofill.batch
          WHERE (batch.run_id = run.run_id)) calls ON (true))
     LEFT JOIN LATERAL ( SELECT (COALESCE(sum(count.calls) FILTER (WHERE (count.outcome = 'failed'::retrofill.outcome)), (0)::numeric))::bigint AS failed,
            (COALESCE(sum(count.calls) FILTER (WHERE (count.cause = 'timed_out'::text)), (0)::numeric))::bigint AS timed_out,
            (COALESCE(sum(count.calls) FILTER (WHERE (count.cause = 'out_of_memory'::text)), (0)::numeric))::bigint AS out_of_memory,
            (COALESCE(sum(count.calls) FILTER (WHERE (count.cause = 'crashed'::text)), (0)::numeric))::bigint AS crashed,
            (COALESCE(sum(count.calls) FILTER (WHERE (count.cause = 'handled'::text)), (0)::numeric))::bigint AS handled,
            (COALESCE(sum(count.calls) FILTER (WHERE (count.cause = 'unhandled'::text)), (0)::numeric))::bigint AS unhandled,
            (COALESCE(sum(count.calls) FILTER (WHERE (count.cause = 'malformed_answer'::text)), (0)::numeric))::bigint AS malformed_answer,
            (COALESCE(sum(count.calls) FILTER (WHERE (count.outcome = 'throttled'::retrofill.outcome)), (0)::numeric))::bigint AS throttled,
            (COALESCE(sum(count.calls) FILTER (WHERE (count.outcome = 'starting'::retrofill.outcome)), (0)::numeric))::bigint AS starting,
            (COALESCE(sum(count.calls) FILTER (WHERE (count.outcome = 'unknown'::retrofill.outcome)), (0)::numeric))::bigint AS unknown,
            (COALESCE(sum(count.calls) FILTER (WHERE (count.outcome = 'misconfigured'::retrofill.outcome)), (0)::numeric))::bigint AS misconfigured,
            (COALESCE(sum(count.calls) FILTER (WHERE (count.outcome = 'too_large'::retrofill.outcome)), (0)::numeric))::bigint AS too_large,
            (COALESCE(sum(count.calls) FILTER (WHERE (count.outcome = 'lost'::retrofill.outcome)), (0)::numeric))::bigint AS lost
           FROM (retrofill.batch
             CROSS JOIN LATERAL ( SELECT call_count.outcome,
                    call_count.cause,
                    call_count.calls
                   FROM retrofill.call_count
                  WHERE (call_count.batch_id = batch.batch_id)
                 OFFSET 0) count)
          WHERE (batch.run_id = run.run_id)) troubles ON (true))
     LEFT JOIN LATERAL ( SELECT sum(awaited.items) AS items,
            jsonb_agg(jsonb_build_object('run_id', awaited.holder, 'state', other.state, 'items', awaited.items) ORDER BY awaited.holder) AS runs
           FROM (retrofill.awaited
             LEFT JOIN retrofill.run other ON ((other.run_id = awaited.holder)))
          WHERE (awaited.run_id = run.run_id)) others ON (true));
COMMENT ON VIEW retrofill.v_run IS 'One row per run, with its true counts.';
