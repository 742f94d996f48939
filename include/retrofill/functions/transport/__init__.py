"""The HTTP data plane under every kind of function: one request is one exchange, never repeated."""
