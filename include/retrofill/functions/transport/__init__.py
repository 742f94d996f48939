"""The HTTP data plane of every kind of function: one request is one exchange, never repeated."""
