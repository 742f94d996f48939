"""A destination: the place where files are written, as a person names it."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

_SCHEME = re.compile(r"(?i)[a-z][a-z0-9+.\-]*://")


@dataclass(frozen=True, slots=True)
class Destination:
    """A folder: of a store, or of this machine's disk."""

    scheme: str
    """Of the store; empty: it is a path of this machine."""

    host: str
    """What stands between scheme and path, such as the name of a container."""

    path: str
    """Without a slash at its end."""

    @classmethod
    def parse(cls, text: str) -> "Destination":
        """Return the destination that a text names.

        :raises ValueError: it is none
        """
        if text.startswith("/"):
            if ".." in text.split("/"):
                raise ValueError("it goes up with ..; give the path itself")
            return cls("", "", text.rstrip("/"))
        if not _SCHEME.match(text):
            raise ValueError("it begins neither with a scheme and :// nor with a slash")
        parts = urlsplit(text)
        if parts.username or parts.password:
            raise ValueError("it holds a login, which everybody would see")
        if not parts.netloc or parts.query or parts.fragment:
            raise ValueError("it is no address of a folder")
        return cls(parts.scheme.lower(), parts.netloc, parts.path.strip("/"))

    def __truediv__(self, name: str) -> "Destination":
        return Destination(
            self.scheme, self.host, f"{self.path}/{name}".lstrip("/" * bool(self.scheme))
        )

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}/{self.path}" if self.scheme else self.path or "/"
