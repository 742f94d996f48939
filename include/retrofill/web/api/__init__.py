"""The REST API, below ``/retrofill/api/v1``: what the pages show and do, as JSON."""
