"""The provenance: what was built, from which commit, with which tools; unsigned.

It is an in-toto Statement, https://in-toto.io/Statement/v1, whose predicate is SLSA's,
https://slsa.dev/spec/v1.1/provenance.
"""

import json
import platform
from collections.abc import Iterable
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

from release.wheel import sha256

BUILD_TYPE = "urn:retrofill:make-release:1"
"""The build that docs/releasing.md describes."""

BUILDER = "urn:retrofill:workstation"
"""Someone's own machine; only that person vouches for it."""

LOCKS = ("requirements.lock", "requirements-dev.lock")


def write_provenance(  # noqa: PLR0913, RUF100
    tree: Path, files: Iterable[Path], *, commit: str, version: str, address: str | None, path: Path
) -> None:
    """Write to `path` what `files` were built from.

    :param tree: a working tree of the commit
    :param address: of the repository, if it is public
    """
    source: dict[str, Any] = {"name": "source", "digest": {"gitCommit": commit}}
    if address:
        source["uri"] = f"git+{address}@refs/tags/v{version}"
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [_descriptor(file) for file in files],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"version": version},
                "resolvedDependencies": [source, *(_descriptor(tree / name) for name in LOCKS)],
            },
            "runDetails": {
                "builder": {
                    "id": BUILDER,
                    "version": {
                        "python": platform.python_version(),
                        "hatchling": version_of("hatchling"),
                    },
                },
            },
        },
    }
    path.write_text(json.dumps(statement, indent=2) + "\n", encoding="utf-8")


def _descriptor(file: Path) -> dict[str, Any]:
    return {"name": file.name, "digest": {"sha256": sha256(file)}}
