"""Reads a published data set, via the rows in its files."""
