"""Functions: the doors through which items leave, one package for each kind."""
