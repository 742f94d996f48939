"""The params of a Lambda function: which one, and which version of it."""

import re
from collections.abc import Iterator
from functools import partial
from typing import Annotated

from pydantic import AfterValidator

from retrofill.functions.kind import FunctionParams
from retrofill.model.function import Pinned
from retrofill.model.quoting import quoted
from retrofill.params import Problem, Sound, field, refuse
from retrofill.params.texts import BLANK, Text, matching

SECTION = "Function: Lambda"
"""The section of the trigger form that shows these params."""

# https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html: FunctionName, Qualifier, TenantId
_QUALIFIER = r"\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9\-_]{1,128}"
_TENANT = r"[a-zA-Z0-9._:/=+\-@ ]{1,256}"
_FUNCTION = (
    r"((arn:aws[a-z\-]*:lambda:[a-z0-9\-]+:)?\d{12}:function:|function:)?"
    rf"(?P<name>[a-zA-Z0-9\-_]{{1,64}})(:(?P<qualifier>{_QUALIFIER}))?"
)


def _function(text: str) -> str:
    if text.startswith("arn:") and not re.fullmatch(_FUNCTION, text):
        service, *rest = text.split(":")[2:] or [""]
        kind = rest[2] if len(rest) > 2 else ""  # noqa: PLR2004  region, account, kind
        refuse(f"it is not the ARN of a function, but of {service} {kind}".rstrip())
    if "://" in text:
        refuse("it is a URL")
    return matching(_FUNCTION, text)


_Qualifier = Annotated[Text, AfterValidator(partial(matching, _QUALIFIER))]
_Tenant = Annotated[Text, AfterValidator(partial(matching, _TENANT))]


class LambdaParams(FunctionParams):
    """Which Lambda function, and which version of it."""

    function: Annotated[Text, AfterValidator(_function)] = field(
        SECTION,
        "Lambda function",
        "The Lambda function to call: its name or ARN, with or without a version or alias.",
        allowed="a function's name or ARN, such as resize-image, or with a version or alias"
        " resize-image:prod",
        form={"maxLength": 256},
        examples=["resize-image"],
    )
    qualifier: Annotated[_Qualifier | None, BLANK] = field(
        SECTION,
        "Version or alias",
        "The version or alias to call. If an alias changes to another version, the run stops."
        " Empty: as the live trigger calls it, otherwise **$LATEST**, whose code may change during"
        " the run.",
        allowed="a version's number, an alias or $LATEST",
        form={"maxLength": 128},
        default=None,
        examples=["prod", "7"],
    )

    tenant_id: Annotated[_Tenant | None, BLANK] = field(
        SECTION,
        "Tenant",
        "The tenant whose data this is, for a function with tenant isolation. All calls name it.",
        allowed="a tenant's id: letters, digits, spaces and . _ : / = + - @",
        form={"maxLength": 256},
        default=None,
        examples=["blue"],
    )

    price_per_gb_second: float | None = field(
        SECTION,
        "Price of a GB-second",
        "Dollars per second and GB of memory, instead of the published price. Empty: as published"
        " for the function's region and architecture.",
        default=None,
        ge=0,
        le=1,
        examples=[0.0000133334],
    )

    def label(self) -> str:
        """Return the bare name of the function, and the tenant if there is one."""
        return self._of_tenant(self._parsed()["name"])

    def identity(self, function: Pinned) -> str:
        """Return the function's name, and the tenant if there is one: each has its own jobs."""
        return self._of_tenant(function.name)

    @property
    def name(self) -> str:
        """The function as given, without its qualifier: a name, a partial ARN or an ARN."""
        end = self._parsed().end("name")
        return self.function[:end].removeprefix("function:")

    @property
    def asked_qualifier(self) -> str | None:
        """The version or alias as given, in either field."""
        return self.qualifier or self._parsed()["qualifier"]

    def contradictions(self, sound: Sound) -> Iterator[Problem]:
        """Find a qualifier that is given twice."""
        if not (sound("function", "qualifier") and self.qualifier):
            return
        if twice := self._parsed()["qualifier"]:
            yield Problem(
                "qualifier",
                f"{quoted(self.qualifier)} is given, but function names {quoted(twice)}; give only"
                " one",
            )

    def _of_tenant(self, name: str) -> str:
        return f"{name} for {self.tenant_id}" if self.tenant_id else name

    def _parsed(self) -> re.Match[str]:
        found = re.fullmatch(_FUNCTION, self.function)
        if found is None:
            raise ValueError(self.function)
        return found
