"""Reads a data set that nobody here made, through the rows in its files."""
