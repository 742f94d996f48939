"""Live triggers: the routes on which new objects reach a function, and their imitation."""
