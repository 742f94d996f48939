"""A destination: where to write files, as the user names it."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

_SCHEME = re.compile(r"(?i)[a-z][a-z0-9+.\-]*://")


@dataclass(frozen=True, slots=True)
class Destination:
    """A folder in a store or on this machine's disk."""

    scheme: str
    """The scheme of the store; empty: a path on this machine."""

    host: str
    """The part between scheme and path, such as the name of a container."""

    path: str
    """The path, without a slash at its end."""

    @classmethod
    def parse(cls, text: str) -> "Destination":
        """Return the destination that a text names.

        :raises ValueError: the text is not a destination
        """
        if text.startswith("/"):
            if ".." in text.split("/"):
                raise ValueError("it contains .., which is not followed")
            return cls("", "", text.rstrip("/"))
        if not _SCHEME.match(text):
            raise ValueError("it begins neither with a scheme and :// nor with a slash")
        parts = urlsplit(text)
        if parts.username or parts.password:
            raise ValueError("it contains a login, which everybody would see")
        if not parts.netloc or parts.query or parts.fragment:
            raise ValueError("it is not the address of a folder")
        return cls(parts.scheme.lower(), parts.netloc, parts.path.strip("/"))

    def __truediv__(self, name: str) -> "Destination":
        path = f"{self.path}/{name}"
        return Destination(self.scheme, self.host, path.lstrip("/") if self.scheme else path)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}/{self.path}" if self.scheme else self.path or "/"
