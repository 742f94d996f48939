"""The contenders: they make the same calls, each in a process that measures itself."""
