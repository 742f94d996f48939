"""Retrofill: run a function over the data you already have."""
