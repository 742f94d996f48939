"""AWS, as several kinds need it: what its refusals mean."""
