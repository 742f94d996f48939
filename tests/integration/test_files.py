"""Rows in files: changing, truncated or damaged files; groups, malformed rows, limits."""

import gzip
import json
import os
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from retrofill.model.errors import ConfigError, SourceError, UnfitSource
from retrofill.model.listing import Page
from retrofill.sources.files import LocalFiles, S3Files, parse_location
from retrofill.sources.rows.source import Identity, RowSource
from retrofill.sources.scanners.recognise import Asked

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_numbers = count()
BY_PLACE = Identity()


@pytest.fixture
def bucket(s3_client: "S3Client") -> str:
    name = f"files-{next(_numbers)}"
    s3_client.create_bucket(Bucket=name)
    return name


def on_disk(
    root: Path,
    pattern: str = "*",
    *,
    identity: Identity = BY_PLACE,
    stop: bool = True,
    **asked: Any,
) -> RowSource:
    files = LocalFiles(root, parse_location(f"{root}/{pattern}"))
    return RowSource(files, Asked(**asked), identity=identity, stop=stop)


def on_s3(client: "S3Client", bucket: str, wait: Callable[[float], None]) -> RowSource:
    files = S3Files(client, parse_location(f"s3://{bucket}/"), wait)
    return RowSource(files, Asked(), identity=BY_PLACE, stop=True)


def pages_of(source: RowSource) -> list[Page]:
    return [page for part in source.partitions(1) for page in source.pages(part)]


def contents(pages: list[Page]) -> list[Any]:
    return [json.loads(item.content) for page in pages for item in page.items]


def rows_of(count: int, size: int = 90) -> bytes:
    return b"".join(b'{"n":%d,"x":"%s"}\n' % (n, b"x" * size) for n in range(count))


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_a_changed_file_is_noticed_and_reported(s3_client: "S3Client", bucket: str, name: str):
    def put(body: bytes) -> None:
        s3_client.put_object(
            Bucket=bucket, Key=name, Body=gzip.compress(body) if name.endswith("gz") else body
        )

    put(rows_of(2_500))
    source = on_s3(s3_client, bucket, lambda _: None)
    [whole] = source.partitions(1)
    pages = source.pages(whole)
    cursor = next(pages).cursor
    pages.close()  # type: ignore[attr-defined]
    put(rows_of(2_600))
    with pytest.raises(SourceError, match=rf"{name}: it has changed since the run was divided"):
        list(source.pages(whole, cursor))
    s3_client.delete_object(Bucket=bucket, Key=name)
    with pytest.raises(SourceError, match="it has changed since the run was divided"):
        list(source.pages(whole, cursor))


def test_a_local_file_that_changes_during_reading_is_noticed(tmp_path: Path):
    file = tmp_path / "a.jsonl"
    file.write_bytes(rows_of(9_000))
    source = on_disk(tmp_path)
    [whole] = source.partitions(1)
    pages = source.pages(whole)
    next(pages)
    with file.open("ab") as opened:
        opened.write(b'{"n":-1}\n')
    with pytest.raises(SourceError, match="it has changed"):
        list(pages)


class Breaking:
    """Bodies of S3's responses that break off after this many bytes."""

    def __init__(self, client: "S3Client", after: int) -> None:
        self.asked: list[str] = []
        self._after = after
        client.meta.events.register("after-call.s3.GetObject", self._break)
        client.meta.events.register("before-call.s3.GetObject", self._note)
        self._client = client

    def close(self) -> None:
        self._client.meta.events.unregister("after-call.s3.GetObject", self._break)
        self._client.meta.events.unregister("before-call.s3.GetObject", self._note)

    def _note(self, params: dict[str, Any], **_: object) -> None:
        self.asked.append(params["headers"]["Range"])

    def _break(self, parsed: dict[str, Any], **_: object) -> None:
        body, left = parsed["Body"], [self._after]
        read = body.read

        def cut(amount: int) -> bytes:
            if left[0] <= 0:
                body.close()
                from botocore.exceptions import ResponseStreamingError  # noqa: PLC0415

                raise ResponseStreamingError(error="interrupted")
            chunk: bytes = read(min(amount, left[0]))
            left[0] -= len(chunk)
            return chunk

        body.read = cut


def test_an_interrupted_body_is_continued(s3_client: "S3Client", bucket: str):
    body = rows_of(3_000)
    s3_client.put_object(Bucket=bucket, Key="a.jsonl", Body=body)
    waits: list[float] = []
    source = on_s3(s3_client, bucket, waits.append)
    [whole] = source.partitions(1)
    breaking = Breaking(s3_client, 100_000)
    try:
        pages = list(source.pages(whole))
    finally:
        breaking.close()
    assert [one["n"] for one in contents(pages)] == list(range(3_000))
    assert len(waits) == len(body) // 100_000
    assert breaking.asked[:3] == ["bytes=0-", "bytes=100000-", "bytes=200000-"]


def test_a_body_that_makes_no_progress_is_given_up(s3_client: "S3Client", bucket: str):
    s3_client.put_object(Bucket=bucket, Key="a.jsonl", Body=rows_of(10))
    waits: list[float] = []
    source = on_s3(s3_client, bucket, waits.append)
    [whole] = source.partitions(1)
    breaking = Breaking(s3_client, 0)
    try:
        with pytest.raises(SourceError, match=r"a\.jsonl could not be read: .*interrupted"):
            list(source.pages(whole))
    finally:
        breaking.close()
    assert len(waits) == 3


def test_malformed_rows_are_skipped_and_counted_or_stop_the_run(tmp_path: Path):
    (tmp_path / "a.csv").write_bytes(b"a,b\n1,2\n3\n4,5\n\xff,6\n7,8\n")
    [page] = pages_of(on_disk(tmp_path, stop=False))
    assert [json.loads(item.content)["a"] for item in page.items] == ["1", "4", "7"]
    assert page.left_out == {"malformed": 2}
    assert [item.key[-1] for item in page.items] == ["1", "3", "5"]
    source = on_disk(tmp_path)
    [whole] = source.partitions(1)
    pages = source.pages(whole)
    assert len(next(pages).items) == 1
    with pytest.raises(SourceError, match=r"a\.csv, row 2 at byte 8: it has 1 fields"):
        next(pages)


UNUSABLE = [
    (BY_PLACE, b'[{"id":1},\n{"id":2}]\n', 2),
    (Identity((), 2), b'[{"id":1},\n{"id":2}]\n', 2),
    (Identity(("id",)), b'{"no":1}\n{"no":2}\n{"no":3}\n', 3),
    (BY_PLACE, b"no json\n" * 3_000 + b'{"id":1}\n', 1_000),
]


@pytest.mark.parametrize(("identity", "text", "rows"), UNUSABLE)
def test_a_file_without_usable_rows_does_not_count_as_read(
    tmp_path: Path, identity: Identity, text: bytes, rows: int
):
    """Reading again meets the error again: the cursor stays before the file."""
    (tmp_path / "a.jsonl").write_bytes(b'{"id":1}\n')
    (tmp_path / "b.jsonl").write_bytes(text)
    source = on_disk(tmp_path, stop=False, identity=identity)
    [whole] = source.partitions(1)
    why = rf"b\.jsonl: none of its rows up to row {rows:,} can be used"
    pages: list[Page] = []
    with pytest.raises(UnfitSource, match=why):
        pages.extend(source.pages(whole))
    [page] = pages
    assert (len(page.items), page.left_out) == (1, {})
    with pytest.raises(UnfitSource, match=why):
        next(source.pages(whole, page.cursor))


@pytest.mark.parametrize(("identity", "text", "rows"), UNUSABLE)
def test_a_first_file_without_usable_rows_is_refused_before_a_run_opens(
    tmp_path: Path, identity: Identity, text: bytes, rows: int
):
    (tmp_path / "a.jsonl").write_bytes(text)
    source = on_disk(tmp_path, stop=False, identity=identity)
    with pytest.raises(ConfigError, match=rf"^files: .*none of its rows up to row {rows:,} "):
        source.check()


def test_an_open_quote_stops_the_run_even_if_malformed_rows_are_skipped(tmp_path: Path):
    (tmp_path / "a.csv").write_bytes(b'a,b\n1,2\n"3,4\n5,6\n')
    source = on_disk(tmp_path, stop=False)
    pages = source.pages(source.partitions(1)[0])
    assert len(next(pages).items) == 1
    with pytest.raises(SourceError, match="row 2 at byte 8: the file ends within it; a quote"):
        next(pages)


@pytest.mark.parametrize("group", [1, 3, 7, 100])
def test_groups_are_the_same_wherever_reading_continues(tmp_path: Path, group: int):
    lines = [b'{"n":%d}' % n if n % 5 else b"no json" for n in range(4_000)]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    source = on_disk(tmp_path, stop=False, identity=Identity((), group))
    [whole] = source.partitions(1)
    pages = list(source.pages(whole))
    items = [item for page in pages for item in page.items]
    left_out = sum(page.left_out["malformed"] for page in pages)
    assert left_out == 800
    values = [json.loads(item.content) for item in items]
    flat = [one["n"] for value in values for one in (value if group > 1 else [value])]
    assert flat == [n for n in range(4_000) if n % 5]
    for number, page in enumerate(pages):
        assert list(source.pages(whole, page.cursor)) == pages[number + 1 :]
    other = on_disk(tmp_path, stop=False, identity=Identity((), group + 1))
    others = {item.identifier for page in pages_of(other) for item in page.items}
    assert not others & {item.identifier for item in items}


def test_rows_with_equal_key_columns_are_one_item(tmp_path: Path):
    (tmp_path / "a.csv").write_bytes("day,id,x\n1,é,a\n1,é,b\n2,é,c\n".encode())
    (tmp_path / "b.csv").write_bytes("x;id;day\nd;é;1\n".encode())
    pages = pages_of(on_disk(tmp_path, identity=Identity(("day", "id"))))
    items = [item for page in pages for item in page.items]
    assert [item.key for item in items] == ['["1","é"]', '["1","é"]', '["2","é"]', '["1","é"]']
    assert len({item.identifier for item in items}) == 2


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"id":null}', "it has no text or number in id"),
        ('{"id":[1]}', "it has no text or number in id"),
        ('{"x":1}', "it has no text or number in id"),
        ("[1]", "it has no text or number in id"),
        ('{"id":""}', "it is empty in id"),
    ],
)
def test_a_row_without_its_key_is_malformed(tmp_path: Path, text: str, why: str):
    (tmp_path / "a.jsonl").write_text(f'{{"id":1}}\n{text}\n')
    with pytest.raises(SourceError, match=f"row 2 at byte 9: {why}"):
        pages_of(on_disk(tmp_path, identity=Identity(("id",))))


def test_shortened_keys_distinguish_rows(tmp_path: Path):
    ids = ["é" * 600 + tail for tail in ("a", "b", "\0")]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"id": one}) + "\n" for one in ids))
    [page] = pages_of(on_disk(tmp_path, identity=Identity(("id",))))
    keys = [item.key for item in page.items]
    assert len(set(keys)) == 3
    assert all(len(key.encode()) <= 1_024 and "\0" not in key for key in keys)


def test_a_truncated_gzip_file_is_not_done(tmp_path: Path):
    # https://github.com/opensearch-project/data-prepper/issues/1568: readers that end silently.
    lines = [rows_of(700, n) for n in range(5)]
    stored = b"".join(gzip.compress(line) for line in lines)
    file = tmp_path / "a.jsonl.gz"
    file.write_bytes(stored)
    assert len(contents(pages_of(on_disk(tmp_path)))) == 3_500
    file.write_bytes(stored[:-10])
    source = on_disk(tmp_path)
    [whole] = source.partitions(1)
    found: list[Page] = []
    with pytest.raises(SourceError, match=r"a\.jsonl\.gz: its gzip data end in the middle"):
        found.extend(source.pages(whole))
    file.write_bytes(stored[:-10] + stored[-10:])
    os.utime(file, ns=(0, 0))


def test_columns_of_another_file_are_compared_by_name(tmp_path: Path):
    (tmp_path / "a.csv").write_bytes(b"id,x\n1,2\n")
    (tmp_path / "b.csv").write_bytes(b"x,key\n2,3\n")
    source = on_disk(tmp_path, identity=Identity(("id",)))
    assert source.check()
    with pytest.raises(SourceError, match=r"b\.csv has no column 'id'; it has 'x', 'key'"):
        pages_of(source)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"a,a\n1,2\n", "files: .*its header has the column 'a' twice"),
        ("a,b\n".encode("utf-16-le"), "files: .*it looks like UTF-16-LE without"),
        (b"a,b\n1\n", "files: .*row 1 at byte 4: it has 1 fields"),
    ],
)
def test_an_unreadable_first_file_is_a_bad_setting(tmp_path: Path, content: bytes, why: str):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(ConfigError, match=why):
        on_disk(tmp_path).check()


def test_nothing_outside_the_root_is_read(tmp_path: Path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "secret.csv").write_bytes(b"a\n1\n")
    (root / "link.csv").symlink_to(outside / "secret.csv")
    (root / "folder").symlink_to(outside)
    with pytest.raises(ConfigError, match="files: there is no file"):
        on_disk(root).check()
    files = LocalFiles(root, parse_location(f"{outside}/"))
    with pytest.raises(ConfigError, match=f"files: {outside} is not in {root}"):
        RowSource(files, Asked(), identity=BY_PLACE, stop=True).check()


@pytest.mark.parametrize("nothing", [b"", b"\n\n", b"\xef\xbb\xbf", b"id,x\n"])
@pytest.mark.parametrize("name", ["a.csv", "c.csv"])
def test_a_file_without_rows_lacks_no_column(tmp_path: Path, nothing: bytes, name: str):
    (tmp_path / name).write_bytes(nothing)
    (tmp_path / "b.csv").write_bytes(b"id,x\n1,2\n")
    source = on_disk(tmp_path, identity=Identity(("id",)))
    source.check()
    assert contents(pages_of(source)) == [{"id": "1", "x": "2"}]


def test_an_unreadable_directory_is_not_taken_for_empty(tmp_path: Path):
    (tmp_path / "a.csv").write_bytes(b"id\n1\n")
    above = os.open(tmp_path, os.O_RDONLY)
    for _ in range(20):  # longer than any path that the system opens
        os.mkdir("x" * 250, dir_fd=above)
        below = os.open("x" * 250, os.O_RDONLY, dir_fd=above)
        os.close(above)
        above = below
    os.close(above)
    with pytest.raises(ConfigError, match=r"files: the files cannot be read \(.*name too long"):
        on_disk(tmp_path).check()


def test_a_name_that_the_state_cannot_store_is_refused(tmp_path: Path):
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.csv")).write_bytes(b"id\n1\n")
    with pytest.raises(ConfigError, match=r"files: the name '.*\\udcff\.csv' cannot be stored"):
        on_disk(tmp_path).check()


def test_links_that_are_not_followed_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.csv").write_bytes(b"id\n1\n")
    (tmp_path / "other").symlink_to(tmp_path / "folder")
    (tmp_path / "gone.csv").symlink_to(tmp_path / "nowhere")
    assert len(contents(pages_of(on_disk(tmp_path)))) == 1
    assert f"not read: {tmp_path}/other is a link to a directory" in caplog.text
    assert f"not read: {tmp_path}/gone.csv is not a regular file" in caplog.text


@pytest.mark.parametrize("text", ["data.csv", "s3://bucket", "s3:///x", "/a/../b", ""])
def test_a_bad_location_of_files_is_refused(text: str):
    with pytest.raises(ValueError, match="it "):
        parse_location(text)


def test_files_are_divided_by_size(tmp_path: Path):
    for number in range(20):
        (tmp_path / f"{number:02}.jsonl").write_bytes(rows_of(10 * (number + 1)))
    source = on_disk(tmp_path)
    parts = source.partitions(4)
    sizes = [sum(size for _, size, _ in part.description["files"]) for part in parts]
    assert len(parts) == 4
    assert max(sizes) < 2 * min(sizes)
    estimate = source.estimate()
    assert estimate is not None
    assert 0.8 < estimate / 2_100 < 1.25
