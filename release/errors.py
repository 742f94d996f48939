"""What keeps a release from being cut."""


class Unfit(Exception):
    """There can be no release of this; the message says why, and what to do."""
