"""What screening and settling cost: beside a raw COPY, and beside caches of another size."""
