"""The rules as pure functions, without clock, network or database."""
