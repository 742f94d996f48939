"""Scanners: how the bytes of a file become rows, whatever file it is and wherever it lies."""
