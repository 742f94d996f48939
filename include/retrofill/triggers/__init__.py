"""Live triggers: the routes by which new objects reach a function, and their imitation."""
