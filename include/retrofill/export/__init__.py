"""Report files: the result of each item, in files for scripts and auditors."""
