"""The Postgres state: both caches and the record of all that was done."""
