-- What comes and goes fast: the in-process cache is not vacuumed while it fills, and a call's end
-- is written beside its beginning.
-- oldest code: 1
--
-- A vacuum of items that wait costs as much as a quarter of settling them, and makes settling them
-- dearer: all it finds is that they are visible, which is over when they are settled. So none comes
-- before half of them have gone. Their room is needed by the next set only.
ALTER TABLE retrofill.in_process SET (
    autovacuum_vacuum_insert_threshold = -1, autovacuum_vacuum_scale_factor = 0.5
);

-- A row grows by two thirds when its call ends. Where the page has room for that, the index over
-- calls is left alone, and the old version goes without a vacuum.
ALTER TABLE retrofill.invocation SET (fillfactor = 40);
