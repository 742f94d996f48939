"""The demo: a function for live S3 events processes what was in a bucket before it."""
