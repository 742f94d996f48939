"""AWS, for several kinds: the facts of its objects, its errors, its sessions."""
