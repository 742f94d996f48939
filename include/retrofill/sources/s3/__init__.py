"""S3 as a source: the objects of a bucket."""
