"""Read JumanDic, a Japanese dictionary, and compare each row with the bytes of its file.

The data are the CSV files of the Debian package mecab-jumandic-utf8, which ``make published``
downloads and unpacks: 751,185 rows of 11 columns, some of them not in UTF-8. Reading is interrupted
repeatedly, and continues at the stored cursor with a new source.

    python -m tests.published FOLDER
"""

import json
import os
import resource
import sys
import time
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

from retrofill.model.listing import Page
from retrofill.model.runs import Window
from retrofill.sources import SOURCES, Source
from retrofill.sources.files import ROOT
from retrofill.sources.kind import Opening

COLUMNS = [f"c{number}" for number in range(1, 12)]
PAGES_PER_TRY = 50


def expected(folder: Path) -> tuple[Mapping[str, list[str]], int]:
    """Return the fields of each row by key, read without a scanner, and the number of bad rows."""
    rows, bad = {}, 0
    for file in folder.glob("*.csv"):
        for number, line in enumerate(file.read_bytes().removesuffix(b"\n").split(b"\n"), 1):
            try:
                rows[f"{file}#{number:012}"] = line.decode().split(",")
            except UnicodeDecodeError:
                bad += 1
    return rows, bad


def open_rows(folder: Path) -> Source:
    """Open the source like a task."""
    kind = SOURCES["rows"]
    params = {
        "files": f"{folder}/*.csv",
        "columns": ",".join(COLUMNS),
        "on_malformed": "leave out",
    }
    opening = Opening(
        connections=None,  # type: ignore[arg-type]  files on a disk take none
        aws_conn_id="",
        window=Window(after=None, before=None),
        passes=None,
    )
    return kind.open(kind.params.from_params(params), opening)


def read(folder: Path) -> Iterator[Page]:
    """Read all pages, at most a few per try."""
    for partition in open_rows(folder).partitions(4):
        cursor = None
        while True:
            pages = list(islice(open_rows(folder).pages(partition, cursor), PAGES_PER_TRY))
            yield from pages
            if len(pages) < PAGES_PER_TRY:
                break
            cursor = pages[-1].cursor


def main() -> None:
    """Compare; exit with an error if anything differs."""
    folder = Path(sys.argv[1]).resolve()
    os.environ[ROOT] = str(folder)
    began = time.perf_counter()
    count = left_out = 0
    for page in read(folder):
        count += len(page.items)
        left_out += sum(page.left_out.values())
    seconds = time.perf_counter() - began
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    rows, bad = expected(folder)
    found = {item.key: item.content for page in read(folder) for item in page.items}
    differing = [
        key
        for key in rows.keys() | found.keys()
        if found.get(key) is None
        or list(json.loads(found[key]).items())
        != list(zip(COLUMNS, rows.get(key, ()), strict=False))
    ]
    print(f"rows in the files     {len(rows) + bad:,}, of them {bad} not in UTF-8")
    print(f"items, and left out   {count:,} and {left_out}")
    print(f"distinct keys         {len(found):,}")
    print(f"differing rows        {len(differing)}")
    print(f"read                  {count / seconds:,.0f} rows/s, {megabytes} MB at most")
    if differing or (count, left_out, len(found)) != (len(rows), bad, len(rows)):
        raise SystemExit(f"they differ: {sorted(differing)[:3]}")


if __name__ == "__main__":
    main()
