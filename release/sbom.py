"""The bill of materials: the packages in requirements.lock, with licences and hashes.

The format is CycloneDX 1.6, https://cyclonedx.org/docs/1.6/json/.
"""

import json
import os
import sys
from importlib.metadata import PackageNotFoundError, metadata
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from release.process import ReleaseError, run
from release.wheel import sha256

Component = dict[str, Any]


def write_sbom(tree: Path, wheel: Path, version: str, time: int, path: Path) -> None:
    """Write the bill of materials of a release to ``path``.

    Licences and dependencies come from the packages in this environment, so their versions must be
    those in the lock. A package that only another Python or platform needs is optional, and nothing
    else is known about it.

    :param time: of the release, in seconds since 1970
    :raises ReleaseError: this environment differs from the lock
    """
    lock = tree / "requirements.lock"
    optional = optional_packages(lock.read_text(encoding="utf-8"))
    locked = _bill(time, "requirements", str(lock))
    bill = _bill(time, "environment", "--pyproject", str(tree / "pyproject.toml"), sys.executable)
    here = {canonicalize_name(one["name"]): one for one in bill["components"]}
    bill["components"] = [
        _optional(one) if name in optional else _component(one, here[name])
        for one in locked["components"]
        for name in [canonicalize_name(one["name"])]
    ]
    root: Component = bill["metadata"]["component"]
    root |= {
        "version": version,
        "purl": f"pkg:pypi/retrofill@{version}",
        "hashes": [{"alg": "SHA-256", "content": sha256(wheel)}],
    }
    known = {one["bom-ref"] for one in (root, *bill["components"])}
    bill["dependencies"] = [
        one | {"dependsOn": [ref for ref in one.get("dependsOn", []) if ref in known]}
        for one in bill["dependencies"]
        if one["ref"] in known
    ]
    text = json.dumps(bill, indent=2, ensure_ascii=False) + "\n"
    if error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise ReleaseError(f"the bill of materials is not valid CycloneDX 1.6: {error}")
    path.write_text(text, encoding="utf-8")


def _bill(time: int, *args: str) -> dict[str, Any]:
    # It is validated when it is complete.
    flags = ("--output-reproducible", "--spec-version", "1.6", "--no-validate")
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(time)}
    text = run(sys.executable, "-m", "cyclonedx_py", *args, *flags, env=environment)
    bill: dict[str, Any] = json.loads(text)
    return bill


def optional_packages(lock: str) -> set[str]:
    """Return the packages of a lock that only other Pythons and platforms need.

    :raises ReleaseError: any other package is missing here, or has another version
    """
    optional: set[str] = set()
    for line in lock.splitlines():
        if not line or line[0] in " #":
            continue
        pinned = Requirement(line.removesuffix("\\"))
        if pinned.marker and not pinned.marker.evaluate():
            optional.add(canonicalize_name(pinned.name))
        elif (found := _installed(pinned.name)) is None or found not in pinned.specifier:
            raise ReleaseError(
                f"requirements.lock has {pinned.name}{pinned.specifier}, but this environment has"
                f" {found or 'none'}: install the locks of this commit"
            )
    return optional


def _installed(package: str) -> str | None:
    try:
        return version_of(package)
    except PackageNotFoundError:
        return None


def _optional(locked: Component) -> Component:
    return {key: locked[key] for key in locked if key != "description"} | {"scope": "optional"}


def _component(locked: Component, here: Component) -> Component:
    """Return what this environment knows about a package, with the hashes from the lock."""
    component = here | {
        "externalReferences": [
            *here.get("externalReferences", []),
            *locked["externalReferences"],
        ]
    }
    if "licenses" not in component:
        # The package's own words.
        name = metadata(here["name"])["License"]
        component["licenses"] = [{"license": {"name": name, "acknowledgement": "declared"}}]
    return component
