"""The cost of screening and settling: against a raw COPY, and with caches of other sizes."""
