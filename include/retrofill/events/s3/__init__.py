"""The events of S3: how it announces a new object, by each route to a function."""
