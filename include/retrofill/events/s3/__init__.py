"""The events of S3: how it tells of a new object, by whatever way that reaches a function."""
