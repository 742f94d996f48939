"""Cut a release: its two commits, and the files to publish."""
