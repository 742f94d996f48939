"""AWS, as several kinds need it: the facts of its objects, and its errors."""
