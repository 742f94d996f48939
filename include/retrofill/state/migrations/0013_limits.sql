-- What a run may do as a whole becomes one value: retrofill.model.limits.Limits.

ALTER TABLE retrofill.run ADD COLUMN limits jsonb;

UPDATE retrofill.run SET limits = jsonb_build_object(
    'max_concurrency', max_concurrency,
    'max_items_per_set', coalesce(
        (
            SELECT max_items FROM retrofill.run_set
            WHERE run_set.run_id = run.run_id ORDER BY set_no DESC LIMIT 1
        ),
        1000000
    ),
    'max_calls_per_second', max_calls_per_second,
    'max_calls', max_calls,
    'max_minutes', max_minutes,
    'max_failure_percent', max_failure_percent,
    'min_items_judged', min_items_judged,
    'concurrency_ceiling', concurrency_ceiling,
    'paused', paused
);

ALTER TABLE retrofill.run
    DROP COLUMN max_concurrency,
    DROP COLUMN max_calls_per_second,
    DROP COLUMN max_calls,
    DROP COLUMN max_minutes,
    DROP COLUMN max_failure_percent,
    DROP COLUMN min_items_judged,
    DROP COLUMN concurrency_ceiling,
    DROP COLUMN paused,
    ALTER COLUMN limits SET NOT NULL,
    ADD CONSTRAINT run_limits_are_those_there_are CHECK (
        limits ?& ARRAY[
            'max_concurrency', 'max_items_per_set', 'max_calls_per_second', 'max_calls',
            'max_minutes', 'max_failure_percent', 'min_items_judged', 'concurrency_ceiling',
            'paused'
        ]
        AND limits - ARRAY[
            'max_concurrency', 'max_items_per_set', 'max_calls_per_second', 'max_calls',
            'max_minutes', 'max_failure_percent', 'min_items_judged', 'concurrency_ceiling',
            'paused'
        ] = '{}'
    ),
    ADD CONSTRAINT run_limits_are_numbers CHECK (
        NOT jsonb_path_exists(
            limits - 'paused', '$.* ? (@.type() != "number" && @.type() != "null")'
        )
    ),
    ADD CONSTRAINT run_paused_is_true_or_false CHECK (jsonb_typeof(limits->'paused') = 'boolean'),
    ADD CONSTRAINT run_max_concurrency_is_positive CHECK (
        coalesce((limits->>'max_concurrency')::integer, 0) >= 1
    ),
    ADD CONSTRAINT run_max_items_per_set_is_positive CHECK (
        coalesce((limits->>'max_items_per_set')::bigint, 0) >= 1
    ),
    ADD CONSTRAINT run_max_calls_per_second_is_positive CHECK (
        (limits->>'max_calls_per_second')::float > 0
    ),
    ADD CONSTRAINT run_max_calls_is_not_negative CHECK ((limits->>'max_calls')::bigint >= 0),
    ADD CONSTRAINT run_max_minutes_is_not_negative CHECK ((limits->>'max_minutes')::integer >= 0),
    ADD CONSTRAINT run_max_failure_percent_is_a_percentage CHECK (
        (limits->>'max_failure_percent')::integer BETWEEN 0 AND 100
    ),
    ADD CONSTRAINT run_min_items_judged_is_a_number CHECK (
        coalesce((limits->>'min_items_judged')::bigint, -1) >= 0
    ),
    ADD CONSTRAINT run_concurrency_ceiling_is_positive CHECK (
        (limits->>'concurrency_ceiling')::integer >= 1
    );

COMMENT ON COLUMN retrofill.run.limits IS 'What the run may do as a whole; null: no such limit. concurrency_ceiling is what reserve_percent leaves: a higher max_concurrency has no effect.';
