"""The sources that must obey the laws, each with its own data set on a real server."""

import csv
import gzip
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

import boto3
from botocore.config import Config
from retrofill.model.errors import ConfigError
from retrofill.model.runs import Window
from retrofill.sources import SOURCES
from retrofill.sources.conformance import Case
from retrofill.sources.files import ROOT
from retrofill.sources.kind import Opening
from retrofill.sources.s3.source import Filter, S3Source
from retrofill.sources.source import Source

from tests.conformance.requests_broken import Breaker
from tests.unit.fake_bucket import FakeBucket

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ODD = ["é", "写真/猫.jpg", "a b", "a+b", "a%20b", "100%", 'quote"d', "line\nbreak", "🦆", " lead"]
COUNT = 2_300
"""Items of a data set: three pages."""

FEW = 23
"""Items if each takes a request."""

MANY_ROWS = 3_000
"""Rows of a file whose reading is measured, if each row is an item: three pages."""

Params = dict[str, Any]


class Connections:
    """Connections to the server at one address, with one client per process."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint

    def aws(self, conn_id: str) -> "Connections":
        del conn_id
        return self

    def client(self, service: str) -> "S3Client":
        assert service == "s3"
        return client(self.endpoint)


@cache
def client(endpoint: str) -> "S3Client":
    session = boto3.Session("test", "test", region_name="us-east-1")
    retries: Any = {"total_max_attempts": 1}
    return session.client("s3", endpoint_url=endpoint, config=Config(retries=retries))


@cache
def breaker(endpoint: str) -> Breaker:
    return Breaker(client(endpoint))


def open_kind(name: str, endpoint: str, root: str, params: Params) -> Source:
    """Open a source like a task, by its kind and params."""
    os.environ[ROOT] = root
    kind = SOURCES[name]
    opening = Opening(
        connections=Connections(endpoint),  # type: ignore[arg-type]
        aws_conn_id="aws_default",
        window=Window(after=None, before=None),
        passes=None,
    )
    asked = kind.params.from_params(params)
    problems = list(asked.contradictions(lambda *_: True))
    if problems:
        raise ConfigError(*map(str, problems))
    return kind.open(asked, opening)


def keys_of(count: int) -> list[str]:
    return [*ODD, *(f"in/{number:06}.jpg" for number in range(count - len(ODD)))]


class World:
    """A place for data sets: a bucket and a directory."""

    def __init__(self, endpoint: str, bucket: str, root: Path) -> None:
        self.endpoint = endpoint
        self.bucket = bucket
        self.root = root
        self.s3 = client(endpoint)
        self.s3.create_bucket(Bucket=bucket)

    def put(self, key: str, body: bytes = b"x") -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)

    def put_all(self, keys: Iterable[str]) -> None:
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(self.put, keys))

    def delete(self, key: str) -> None:
        self.s3.delete_object(Bucket=self.bucket, Key=key)

    def opener(self, kind: str, **params: Any) -> Callable[[], Source]:
        return partial(open_kind, kind, self.endpoint, str(self.root), params)

    def checks(self, kind: str, **params: Any) -> Callable[[], bool]:
        return lambda: open_kind(kind, self.endpoint, str(self.root), params).check()

    def breaks(self) -> dict[str, Any]:
        broken = breaker(self.endpoint)
        return {
            "fail": broken.break_with(500, "InternalError"),
            "throttle": broken.break_with(503, "SlowDown"),
        }


def s3(world: World) -> Case:
    keys = keys_of(COUNT)
    world.put_all(keys)

    def change(number: int) -> None:
        world.put(f"in/{number:06}-come")
        world.delete(f"in/{number - 1:06}-come")

    # Uploading this many objects would take minutes: these buckets are in memory.
    large = {
        times: FakeBucket.of(str(number) for number in range(MANY_ROWS * times))
        for times in (1, 10)
    }

    def larger(times: int) -> Source:
        wanted = Filter(window=Window(after=None, before=None))
        return S3Source(
            large[times].client(), bucket="large", prefix="", wanted=wanted, versions=False
        )

    return Case(
        open=world.opener("s3", bucket=world.bucket, whole_bucket=True),
        keys=keys,
        ordered=True,
        bad={
            "bucket": world.checks("s3", bucket="no-such-bucket", whole_bucket=True),
            "min_size": world.checks("s3", bucket=world.bucket, whole_bucket=True, min_size=-1),
        },
        larger=larger,
        change=change,
        **world.breaks(),
    )


def csv_text(rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def json_text(rows: Iterable[object]) -> bytes:
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows).encode()


def _manifest(world: World, manifest: str, keys: Sequence[str], **more: Any) -> Case:
    """Return the case of an existing manifest."""
    where = f"s3://{world.bucket}/{manifest}"
    settings = {"bucket": "photos", "manifest": where, **more.pop("params", {})}
    return Case(
        open=world.opener("manifest", **settings),
        keys=keys,
        ordered=False,
        bad={
            "manifest": world.checks("manifest", **settings | {"manifest": f"{where}.gone"}),
            "bucket": world.checks("manifest", **settings | {"bucket": "No"}),
            "columns": world.checks("manifest", **settings | {"columns": "bucket,name"}),
        },
        **world.breaks(),
        **more,
    )


def _facts(keys: Iterable[str]) -> Iterable[list[str]]:
    header = ["Bucket", "Key", "Size", "ETag", "LastModified"]
    return [header, *(["photos", key, "5", "e" * 32, "2026-01-02T03:04:05Z"] for key in keys)]


def manifest_csv(world: World) -> Case:
    """Our own list with all facts, in several files, unordered."""
    keys = sorted(keys_of(COUNT), key=lambda key: hashlib.sha256(key.encode()).digest())
    half = len(keys) // 2
    world.put("list/1.csv", csv_text(_facts(keys[:half])))
    world.put("list/2.csv.gz", gzip.compress(csv_text(_facts(keys[half:]))))
    for times in (1, 10):
        many = csv_text(_facts(str(number) for number in range(MANY_ROWS * times)))
        world.put(f"many/{times}.csv", many)

    def change(number: int) -> None:
        world.put(f"list/9{number}.csv", csv_text(_facts([f"come-{number}"])))
        if number % 3 == 0:
            world.delete(f"list/9{number - 2}.csv")

    def larger(times: int) -> Source:
        many = f"s3://{world.bucket}/many/{times}.csv"
        return world.opener("manifest", bucket="photos", manifest=many)()

    return _manifest(world, "list/", keys, larger=larger, change=change)


def md5_of(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def manifest_inventory(world: World) -> Case:
    """An S3 Inventory, as S3 writes it."""
    keys = keys_of(COUNT)
    files = []
    for number in range(3):
        text = "".join(
            f'"photos","{quote_plus(key, safe="/")}","5","2026-01-02T03:04:05.000Z","{"e" * 32}"\n'
            for key in keys[number::3]
        )
        body = gzip.compress(text.encode())
        name = f"inventory/data/{number}.csv.gz"
        world.put(name, body)
        files.append({"key": name, "size": len(body), "MD5checksum": md5_of(body)})
    said = {
        "sourceBucket": "photos",
        "destinationBucket": f"arn:aws:s3:::{world.bucket}",
        "version": "2016-11-30",
        "creationTimestamp": "1767225600000",
        "fileFormat": "CSV",
        "fileSchema": "Bucket, Key, Size, LastModifiedDate, ETag",
        "files": files,
    }
    text = json.dumps(said).encode()
    world.put("inventory/manifest.json", text)
    world.put("inventory/manifest.checksum", md5_of(text).encode())
    return _manifest(world, "inventory/manifest.json", keys)


def manifest_batch_operations(world: World) -> Case:
    """A manifest of S3 Batch Operations: only bucket and key, so that objects are looked up."""
    keys = keys_of(FEW)
    world.put_all(keys)
    rows = "".join(f"{world.bucket},{quote(key)}\n" for key in keys)
    world.put("manifest.csv", rows.encode())

    def change(number: int) -> None:
        world.put(f"in/{number:06}-come")
        world.delete(f"in/{number - 1:06}-come")

    return _manifest(
        world, "manifest.csv", keys, params={"bucket": world.bucket}, change=change
    )  # fmt: skip


def _rows(number: int, count: int) -> list[dict[str, str]]:
    return [
        {"id": f"{number}-{row}", "text": ODD[row % len(ODD)] * (row % 7)} for row in range(count)
    ]


def _as_file(name: str, rows: Sequence[dict[str, str]]) -> bytes:
    if "csv" in name:
        body = csv_text([["id", "text"], *([*row.values()] for row in rows)])
    else:
        body = json_text(rows)
    return gzip.compress(body) if name.endswith("gz") else body


class Disk:
    """A place for files of rows: the bucket of a world, or its directory."""

    def __init__(self, world: World, *, on_s3: bool) -> None:
        self._world = world
        self._on_s3 = on_s3
        self.home = f"s3://{world.bucket}" if on_s3 else str(world.root)

    def write(self, path: str, rows: Sequence[dict[str, str]]) -> None:
        if self._on_s3:
            self._world.put(path, _as_file(path, rows))
        else:
            file = self._world.root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(_as_file(path, rows))

    def remove(self, path: str) -> None:
        if self._on_s3:
            self._world.delete(path)
        else:
            (self._world.root / path).unlink()

    def shown(self, path: str) -> str:
        """Return the prefix of the keys of a file's rows."""
        return path if self._on_s3 else f"{self.home}/{path}"


def _row_files(world: World, ending: str, *, on_s3: bool, **params: Any) -> Case:
    """Return the case of three files of rows, one of them empty."""
    disk = Disk(world, on_s3=on_s3)
    keys = []
    for number, count in enumerate([COUNT, 0, COUNT // 2]):
        path = f"{ending}/a{'!' * number}{ending}"
        disk.write(path, _rows(number, count))
        if "key_columns" in params:
            keys += [f"{number}-{row}" for row in range(count)]
        else:
            firsts = range(0, count, params.get("rows_per_item", 1))
            keys += [f"{disk.shown(path)}#{row + 1:012}" for row in firsts]
    many = MANY_ROWS * params.get("rows_per_item", 1)
    for times in (1, 10):
        disk.write(f"many{ending}/{times}{ending}", _rows(0, many * times))

    def change(number: int) -> None:
        disk.write(f"{ending}/z{number}{ending}", _rows(9, 5))
        if number % 3 == 0:
            disk.remove(f"{ending}/z{number - 2}{ending}")

    def larger(times: int) -> Source:
        files = f"{disk.home}/many{ending}/{times}{ending}"
        return world.opener("rows", files=files, **params)()

    settings = {"files": f"{disk.home}/{ending}/*{ending}", **params}
    bad = {
        "files": world.checks("rows", **settings | {"files": f"{disk.home}/gone/"}),
        "encoding": world.checks("rows", **settings | {"encoding": "utf-99"}),
    }
    if "key_columns" in params:
        bad["key_columns"] = world.checks("rows", **settings | {"key_columns": "no_such"})
    return Case(
        open=world.opener("rows", **settings),
        keys=keys,
        ordered="key_columns" not in params,
        bad=bad,
        larger=larger,
        change=change,
        **(world.breaks() if on_s3 else {}),
    )


def memory(world: World, *, in_order: bool) -> Case:
    source = world.opener("memory", items=COUNT, in_order=in_order)()
    keys = [
        item.key for part in source.partitions(1) for page in source.pages(part)
        for item in page.items
    ]  # fmt: skip
    return Case(
        open=world.opener("memory", items=COUNT, in_order=in_order),
        keys=keys,
        ordered=in_order,
        bad={"items": world.checks("memory", items=-1)},
        larger=lambda times: world.opener("memory", items=times * MANY_ROWS, in_order=in_order)(),
    )


CASES: dict[str, Callable[[World], Case]] = {
    "s3": s3,
    "manifest: csv": manifest_csv,
    "manifest: inventory": manifest_inventory,
    "manifest: batch operations": manifest_batch_operations,
    "rows: csv": partial(_row_files, ending=".csv", on_s3=True),
    "rows: csv, by columns": partial(_row_files, ending=".csv", on_s3=True, key_columns="id"),
    "rows: csv.gz, by columns": partial(_row_files, ending=".csv.gz", on_s3=True, key_columns="id"),
    "rows: jsonl": partial(_row_files, ending=".jsonl", on_s3=True),
    "rows: jsonl.gz, groups": partial(_row_files, ending=".jsonl.gz", on_s3=True, rows_per_item=7),
    "rows: csv.gz on a disk": partial(_row_files, ending=".csv.gz", on_s3=False),
    "memory": partial(memory, in_order=True),
    "memory, unordered": partial(memory, in_order=False),
}
"""Functions that make the data set of each case."""
