"""The contenders, which make the same calls, each in a process that measures itself."""
