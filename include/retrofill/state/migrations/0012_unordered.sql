-- Screening of sources whose keys come in no order: items in process are found by their identifiers.

ALTER TABLE retrofill.job ADD COLUMN unordered boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN retrofill.job.unordered IS 'A source without order has screened for it: its items are found one by one.';

ALTER TABLE retrofill.in_process ADD COLUMN unordered boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN retrofill.in_process.unordered IS 'As its job has it.';

-- By identifier first: where nothing is known of the table, the planner would else take the primary
-- key, which begins with job_id too, and read the whole job for each item.
CREATE UNIQUE INDEX unordered_items ON retrofill.in_process (identifier, job_id) WHERE unordered;
