"""Scanners: turn the bytes of a file into rows, whatever its format and location."""
