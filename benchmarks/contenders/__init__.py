"""Those who make the same calls, each in a process of its own that measures itself."""
