"""Live triggers: how new objects reach a function by themselves, and its imitation."""
