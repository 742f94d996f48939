"""The Postgres state: both caches, and the record of runs and calls."""
