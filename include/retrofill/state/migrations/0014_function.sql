-- What is pinned of a function is in the words of its kind; only its timeout is used by statements.

ALTER TABLE retrofill.run ADD COLUMN function jsonb;

UPDATE retrofill.run SET function = jsonb_build_object(
    'kind', 'aws_lambda', 'name', function_arn, 'version', function_version,
    'facts', jsonb_build_object('code_sha256', code_sha256, 'memory_mb', memory_mb)
);

-- The rest of the view stays as it is, whatever other migrations have made of it.
DO $$
BEGIN
    EXECUTE 'CREATE OR REPLACE VIEW retrofill.v_run AS ' || replace(
        replace(
            pg_get_viewdef('retrofill.v_run'),
            'run.function_arn', 'run.function ->> ''name'' AS function_arn'
        ),
        'run.function_version', 'run.function ->> ''version'' AS function_version'
    );
END
$$;
ALTER VIEW retrofill.v_run RENAME COLUMN function_arn TO function_name;

ALTER TABLE retrofill.run
    DROP COLUMN function_arn,
    DROP COLUMN function_version,
    DROP COLUMN code_sha256,
    DROP COLUMN memory_mb,
    ALTER COLUMN function SET NOT NULL,
    ADD CONSTRAINT run_function_is_pinned CHECK (
        function ?& ARRAY['kind', 'name', 'version', 'facts']
        AND NOT jsonb_path_exists(function - 'facts', '$.* ? (@.type() != "string")')
        AND jsonb_typeof(function->'facts') = 'object'
    );

COMMENT ON COLUMN retrofill.run.function IS 'The function as it was found when the run was opened: kind, name, version, and facts in the words of its kind.';
