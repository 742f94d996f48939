"""The rules: pure functions, without clock, network or database."""
