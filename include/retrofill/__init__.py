"""Retrofill: run a function over the data you already have."""

__version__ = "0.1.0.dev0"
