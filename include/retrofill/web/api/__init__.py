"""The same by REST: what the pages show and do, as JSON, below ``/retrofill/api/v1``."""
