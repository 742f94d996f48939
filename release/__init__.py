"""Cut a release: its two commits, and the files that a person then publishes."""
