"""Shared value types, used by every other layer."""
