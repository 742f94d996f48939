"""Measure what we claim, against what a user would use instead."""
