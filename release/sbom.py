"""The bill of materials: what requirements.lock deploys, with licences and hashes.

The format is CycloneDX 1.6, https://cyclonedx.org/docs/1.6/json/.
"""

import json
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, metadata
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from release.errors import Unfit
from release.wheel import sha256

Component = dict[str, Any]


def write_sbom(tree: Path, wheel: Path, version: str, time: int, path: Path) -> None:
    """Write the bill of materials of a release to ``path``.

    Licences and dependencies are those of the packages in this environment, so these must be of
    the versions that the lock has. A package that only another Python or platform needs is
    optional, and nothing else is known of it.

    :param time: of the release, in seconds since 1970
    :raises Unfit: this environment is not what the lock says
    """
    lock = tree / "requirements.lock"
    optional = split(lock.read_text(encoding="utf-8"))
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
        raise Unfit(f"the bill of materials is not valid CycloneDX 1.6: {error}")
    path.write_text(text, encoding="utf-8")


def _bill(time: int, *args: str) -> dict[str, Any]:
    # It is validated when it is whole.
    command = (sys.executable, "-m", "cyclonedx_py", *args)
    done = subprocess.run(  # noqa: S603 - a command of ours
        (*command, "--output-reproducible", "--spec-version", "1.6", "--no-validate"),
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"SOURCE_DATE_EPOCH": str(time)},
    )
    if done.returncode:
        raise Unfit(f"{' '.join(command)}: {done.stderr.strip()}")
    bill: dict[str, Any] = json.loads(done.stdout)
    return bill


def split(lock: str) -> set[str]:
    """Return what a lock has for other Pythons and platforms; all else must be installed here.

    :raises Unfit: something is not, or is of another version
    """
    optional: set[str] = set()
    for line in lock.splitlines():
        if not line or line[0] in " #":
            continue
        pinned = Requirement(line.removesuffix("\\"))
        if pinned.marker and not pinned.marker.evaluate():
            optional.add(canonicalize_name(pinned.name))
        elif (found := _installed(pinned.name)) is None or found not in pinned.specifier:
            raise Unfit(
                f"requirements.lock has {pinned.name}{pinned.specifier}, this environment has"
                f" {found or 'none'}: make it from the locks of this commit"
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
    """Return what this environment knows of a package, with the hashes that the lock has."""
    component = here | {
        "externalReferences": [
            *here.get("externalReferences", []),
            *locked["externalReferences"],
        ]
    }
    if "licenses" not in component:
        # What it says in its own words.
        said = metadata(here["name"])["License"]
        component["licenses"] = [{"license": {"name": said, "acknowledgement": "declared"}}]
    return component
