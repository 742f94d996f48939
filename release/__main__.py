"""Cut a release, and print the next steps: ``python -m release [VERSION]``."""

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

from release.cut import Release, cut
from release.process import ReleaseError

ROOT = Path(__file__).parents[1]


def main() -> None:
    """Cut the release, or exit with the reason why there is none."""
    parser = argparse.ArgumentParser(prog="python -m release", description=__doc__)
    parser.add_argument("version", nargs="?", help="such as 1.2.0; default: the next one")
    args = parser.parse_args()
    try:
        release = cut(ROOT, args.version, datetime.now(UTC).date())
    except ReleaseError as error:
        sys.exit(f"error: {error}\nNothing was changed.")
    print(next_steps(release, ROOT))


def next_steps(release: Release, root: Path) -> str:
    """Return what was done, and the commands to publish it or take it back."""
    folder = release.folder.relative_to(root)
    upload = (
        f"uv publish {folder}/*.whl"
        if (root / "LICENSE").exists()
        else "# No licence has been chosen, so package indexes refuse the wheel."
    )
    sums = (release.folder / "SHA256SUMS").read_text(encoding="utf-8")
    return f"""\
Retrofill {release.version} is built and not published. In {folder}:

{sums}
Check the two new commits and these files. Then (see docs/releasing.md):

  git tag --annotate --message 'Retrofill {release.version}' {release.tag} {release.commit}
  git push origin HEAD {release.tag}
  git archive {release.tag} | docker build --tag {release.image} \\
    --label org.opencontainers.image.version={release.version} \\
    --label org.opencontainers.image.revision={release.commit} -
  {upload}

To take it back before you push:

  git tag --delete {release.tag}
  git reset --hard {release.before}
  rm -r {folder}
"""


if __name__ == "__main__":
    main()
