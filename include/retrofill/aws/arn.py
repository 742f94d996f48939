"""The ARN: the name that AWS gives a resource, parsed in one place."""

from typing import NamedTuple, Self


class Arn(NamedTuple):
    """``arn:partition:service:region:account:resource``.

    Format: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html.
    """

    partition: str
    service: str
    region: str
    """Empty if the resource belongs to none."""

    account: str
    """12 digits; empty if the resource belongs to none."""

    resource: str
    """The rest, which may contain colons: ``function:resize:7``."""

    @classmethod
    def find(cls, text: str) -> Self | None:
        """Return the ARN in a text; None: it is not one.

        >>> Arn.find("arn:aws:lambda:eu-west-1:123456789012:function:resize:7").name
        'resize'
        """
        scheme, *parts = text.split(":", 5)
        return cls(*parts) if scheme == "arn" and len(parts) == len(cls._fields) else None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the ARN in a text.

        :raises ValueError: it is not an ARN
        """
        found = cls.find(text)
        if found is None:
            raise ValueError(f"{text!r} is not an ARN")
        return found

    def __str__(self) -> str:
        return ":".join(("arn", *self))

    @property
    def name(self) -> str:
        """The resource's name, without its type and its qualifier: ``resize``."""
        return self._resource_parts[1]

    @property
    def qualifier(self) -> str:
        """The version or alias of a function: ``7``; empty: none is named."""
        return self._resource_parts[2]

    @property
    def unqualified(self) -> Self:
        """The ARN without version or alias."""
        kind, name, _ = self._resource_parts
        return self._replace(resource=f"{kind}:{name}")

    @property
    def _resource_parts(self) -> tuple[str, str, str]:
        """Type, name and qualifier of a resource such as ``function:resize:7``.

        Format:
        https://docs.aws.amazon.com/service-authorization/latest/reference/list_awslambda.html.
        """
        kind, _, rest = self.resource.partition(":")
        name, _, qualifier = rest.partition(":")
        return kind, name, qualifier


def bucket_arn(bucket: str, partition: str) -> str:
    """Return the ARN of a bucket."""
    return str(Arn(partition, "s3", "", "", bucket))
