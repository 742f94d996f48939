"""Scanners read the rows that Python's modules read, with byte offsets, and resume from any."""

import csv
import gzip
import io
import json
import tracemalloc
import zlib
from collections.abc import Iterator
from itertools import chain, repeat
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from retrofill.sources.scanners.compression import CorruptFile, gunzip, skip
from retrofill.sources.scanners.csv_rows import DELIMITERS, CsvScanner
from retrofill.sources.scanners.encodings import ENCODINGS, Encoding, recognise_encoding
from retrofill.sources.scanners.json_lines import JsonLinesScanner
from retrofill.sources.scanners.lines import Overlong, read_lines
from retrofill.sources.scanners.recognise import Asked, recognise
from retrofill.sources.scanners.scanner import Head, Malformed, Place, Row, Scanner

UTF8 = Encoding("utf-8")
MARKED = {"utf-8": b"\xef\xbb\xbf", "utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}
ODD = ["", " ", '"', '""', ",", ";", "\t", "|", "\n", "\r\n", "\r", "é", "\ufeff", "🦆", "\u0a0a",
       "\u0a00", "\x85", "\u2028", "\0", "'", "\\"]  # fmt: skip
FIELD = st.lists(st.sampled_from(ODD) | st.text(max_size=3), max_size=4).map("".join)
CHUNKS = st.sampled_from([1, 2, 3, 7, 64, 1_000_000])
# Lone surrogates are not text; no encoding has them.
TEXT = FIELD.filter(lambda text: not any("\ud800" <= char <= "\udfff" for char in text))


def in_chunks(content: bytes, size: int) -> Iterator[bytes]:
    return (content[at : at + size] for at in range(0, len(content), size))


def read(scanner: Scanner, content: bytes, chunk: int = 64) -> tuple[Head, list[Row | Malformed]]:
    head = scanner.head(in_chunks(content, chunk))
    rest = in_chunks(content[head.first.byte :], chunk)
    return head, list(scanner.rows(rest, head, head.first))


def resumed(scanner: Scanner, head: Head, content: bytes, after: Row | Malformed) -> list[Any]:
    place = Place(after.end, after.place.row + 1)
    return list(scanner.rows(in_chunks(content[after.end :], 64), head, place))


@settings(deadline=None)
@given(
    rows=st.integers(1, 4).flatmap(
        lambda width: st.lists(st.lists(TEXT, min_size=width, max_size=width), max_size=8)
    ),
    delimiter=st.sampled_from(DELIMITERS),
    ending=st.sampled_from(["\n", "\r\n", "\r\r\n"]),
    last=st.booleans(),
    encoding=st.sampled_from(["utf-8", "utf-16-le", "utf-16-be"]),
    marked=st.booleans(),
    chunk=CHUNKS,
)
@example(
    rows=[["a\u0a0a", '"\r\n']], delimiter=",", ending="\n", last=False, encoding="utf-16-be",
    marked=True, chunk=1,
)  # fmt: skip
def test_csv_rows_are_read_with_their_byte_offsets(
    *, rows: list[list[str]], delimiter: str, ending: str, last: bool, encoding: str, marked: bool,
    chunk: int,
):  # fmt: skip
    width = len(rows[0]) if rows else 2
    names = [f"n{place}" for place in range(width)]
    records = []
    for row in [names, *rows]:
        text = io.StringIO(newline="")
        # The writer itself leaves a carriage return without quotes.
        quoting = csv.QUOTE_ALL if "\r" in "".join(row) else csv.QUOTE_MINIMAL
        writer = csv.writer(text, delimiter=delimiter, lineterminator=ending, quoting=quoting)
        writer.writerow(row)
        records.append(text.getvalue().encode(encoding))
    if last:
        records[-1] = records[-1].removesuffix(ending.encode(encoding))
    mark = MARKED[encoding] if marked else b""
    content = mark + b"".join(records)
    scanner = CsvScanner(encoding=Encoding(encoding, mark), delimiter=delimiter)
    head, found = read(scanner, content, chunk)
    assert head.columns == tuple(names)
    assert [row.value for row in found if isinstance(row, Row)] == rows
    assert [row.place.row for row in found] == list(range(1, len(rows) + 1))
    at = len(mark) + len(records[0])
    for row, record in zip(found, records[1:], strict=True):
        assert (row.place.byte, row.end) == (at, at + len(record))
        at = row.end
        assert resumed(scanner, head, content, row) == found[row.place.row :]
        assert isinstance(row, Row)
        assert json.loads(scanner.content(head, row)) == dict(zip(names, row.value, strict=True))


@settings(deadline=None)
@given(
    content=st.lists(st.sampled_from([*ODD, "a", "b,c", "\n", "\n"]), max_size=40).map("".join),
    chunk=CHUNKS,
)
def test_csv_is_read_like_by_the_strict_module_up_to_the_first_mistake(content: str, chunk: int):
    expected: list[list[str]] = []
    strict = csv.reader(io.StringIO(content, newline="\n"), strict=True)
    broken = False
    try:
        expected.extend(row for row in strict if row)
    except csv.Error:
        broken = True
    scanner = CsvScanner(encoding=UTF8, columns=("a", "b"))
    head, found = read(scanner, content.encode(), chunk)
    whole = [row for row in found if isinstance(row, Row)]
    assert [row.value for row in whole] >= [row for row in expected if len(row) == 2][:1]
    good = [row for row in expected if len(row) == 2]
    assert [row.value for row in whole][: len(good)] == good
    assert broken == any("fields" not in row.why for row in found if isinstance(row, Malformed))
    assert all(not isinstance(row, Malformed) or not row.fatal for row in found[:-1])
    for row in found[:-1]:
        assert resumed(scanner, head, content.encode(), row) == found[row.place.row :]
    ends = [row.end for row in found]
    assert ends == sorted(ends)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)  # fmt: skip


@settings(deadline=None)
@given(
    lines=st.lists(
        st.tuples(JSON, st.booleans(), st.sampled_from(["", " ", "\t"])), max_size=8
    ),
    blank=st.sampled_from(["", "\n", " \r\n\n"]),
    ending=st.sampled_from(["\n", "\r\n"]),
    last=st.booleans(),
    encoding=st.sampled_from(["utf-8", "utf-16-le", "utf-16-be"]),
    chunk=CHUNKS,
)  # fmt: skip
def test_json_lines_are_kept_unchanged(
    *, lines: list[tuple[Any, bool, str]], blank: str, ending: str, last: bool, encoding: str,
    chunk: int,
):  # fmt: skip
    texts = [
        json.dumps(value, ensure_ascii=True, separators=(", ", ": ") if wide else (",", ":"))
        for value, wide, _ in lines
    ]
    records = [
        f"{white}{text}{ending}{blank}"
        for text, (_, _, white) in zip(texts, lines, strict=True)
    ]  # fmt: skip
    content = "".join(records)
    if last:
        content = content.removesuffix("\n")
    data = MARKED[encoding] + content.encode(encoding)
    scanner = JsonLinesScanner(encoding=Encoding(encoding, MARKED[encoding]))
    head, found = read(scanner, data, chunk)
    assert [scanner.content(head, row) for row in found if isinstance(row, Row)] == texts
    assert [row.place.row for row in found] == list(range(1, len(texts) + 1))
    for row in found:
        assert data[row.place.byte : row.end].decode(encoding).strip() == row.value  # type: ignore[union-attr]
        assert resumed(scanner, head, data, row) == found[row.place.row :]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'{"a":1,"a":2}', "it has the member 'a' twice"),
        (b'{"x":[{"a":1,"a":2}]}', "it has the member 'a' twice"),
        (b'{"a":NaN}', "it contains NaN"),
        (b"-Infinity", "it contains -Infinity"),
        (b'{"a":1', "it is not JSON"),
        (b'{"a":1} {}', "it is not JSON: Extra data"),
        (b'{"a":"\x01"}', "it is not JSON: Invalid control character"),
        (b'{"a":"\xff"}', "byte 14 is not utf-8"),
        (b"[" * 100_000, "it is nested too deeply"),
    ],
)
def test_a_line_that_is_not_json_is_malformed_and_its_neighbours_are_read(line: bytes, why: str):
    scanner = JsonLinesScanner(encoding=UTF8)
    _, [before, bad, behind] = read(scanner, b'{"b":1}\n' + line + b'\n{"c":1e400}')
    assert isinstance(before, Row)
    assert isinstance(bad, Malformed)
    assert bad.why.startswith(why)
    assert bad.place == Place(8, 2)
    assert isinstance(behind, Row)
    assert (behind.value, behind.place) == ('{"c":1e400}', Place(8 + len(line) + 1, 3))


def test_numbers_keep_their_digits_in_content_and_in_columns():
    line = '{"a": 1.10, "b": 12345678901234567890123, "c": -0.0E+1, "d": true, "e": null, "f": [1]}'
    scanner = JsonLinesScanner(encoding=UTF8)
    head, [row] = read(scanner, line.encode())
    assert isinstance(row, Row)
    assert scanner.content(head, row) == line
    pick = scanner.picker(head, ["a", "b", "c", "d", "e", "f", "g"])
    assert list(pick(row)) == ["1.10", "12345678901234567890123", "-0.0E+1", "true", *[None] * 3]


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (b"1\n", "it has 1 fields, but there are 2 columns"),
        (b"1,2,3\n", "it has 3 fields"),
        (b'"1"x,2\n', "',' expected after '\"'"),
        (b"1\r2,3\n", "new-line character seen in unquoted field"),
        (b"\xff,2\n", "byte 8 is not utf-8"),
        (b'"a\n\xff\nb",2\n', "byte 11 is not utf-8"),
        (b'"a\nb"c,2\n', "',' expected after '\"'"),
        (b"x" * 200 + b",1\n", "it has 203 bytes, more than 100"),
        (b'"' + b"x" * 200 + b'",1\n', "it has 205 bytes, more than 100"),
    ],
)
def test_a_malformed_csv_row_is_reported_and_its_neighbours_are_read(lines: bytes, why: str):
    scanner = CsvScanner(encoding=UTF8, longest_row=100)
    head, [before, bad, behind] = read(scanner, b"a,b\n1,2\n" + lines + b"3,4")
    assert isinstance(bad, Malformed)
    assert bad.why.startswith(why)
    assert (bad.place, bad.end, bad.fatal) == (Place(8, 2), 8 + len(lines), False)
    assert isinstance(before, Row)
    assert isinstance(behind, Row)
    assert behind.value == ["3", "4"]
    assert head.columns == ("a", "b")


@pytest.mark.parametrize(
    ("rest", "why"),
    [
        (b'"3,4\n5,6\n', "the file ends within it; a quote is not closed"),
        (b'"3,4\n' + b"5,6\n" * 50, "it is longer than 100 bytes; a quote may not be closed"),
        (b'"' + b"x" * 200 + b"\n5,6\n", "it is longer than 100 bytes; a quote may not be closed"),
        (b'"3\n' + b"x" * 200 + b'"\n5,6\n', "it is longer than 100 bytes"),
    ],
)
def test_an_open_quote_ends_the_file_at_the_start_of_its_row(rest: bytes, why: str):
    scanner = CsvScanner(encoding=UTF8, longest_row=100)
    _, [_, bad] = read(scanner, b"a,b\n1,2\n" + rest)
    assert isinstance(bad, Malformed)
    assert bad.why.startswith(why)
    assert (bad.place, bad.fatal) == (Place(8, 2), True)


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        (b"a,,b\n", "column 2 of its header has no name"),
        (b"a,b,a\n", "its header has the column 'a' twice"),
        (b'"a,b\n', "its header cannot be read: the file ends within it"),
    ],
)
def test_a_header_that_names_no_columns_is_a_problem(header: bytes, problem: str):
    assert CsvScanner(encoding=UTF8).head([header + b"1,2\n"]).problem.startswith(problem)


@pytest.mark.parametrize("content", [b"", b"a,b", b"\xef\xbb\xbfa,b\r\n\r\n"])
def test_a_file_without_rows_has_none(content: bytes):
    encoding = recognise_encoding(content)
    assert read(CsvScanner(encoding=encoding), content)[1] == []
    assert read(JsonLinesScanner(encoding=UTF8), b"")[1] == []


def test_a_quoted_line_end_is_kept_at_every_offset_around_a_block():
    # https://github.com/apache/arrow/issues/51368: readers have lost the feed at a block's border.
    scanner = CsvScanner(encoding=UTF8)
    for filled in chain(range(70), range(65_470, 65_540), range(262_080, 262_150)):
        content = b"a,b\n" + b"x" * filled + b',"1\r\n2"\r\n3,4'
        _, rows = read(scanner, content, 65_536)
        assert [row.value for row in rows if isinstance(row, Row)] == [
            ["x" * filled, "1\r\n2"],
            ["3", "4"],
        ]


def test_a_quarter_million_rows_with_odd_line_ends_are_all_read():
    # https://github.com/duckdb/duckdb/issues/25164, 25825 and 7578: rows doubled, or lost.
    count, last = 250_000, b"y" * 3_000_000
    content = b"a,b\n" + b"".join(b"%d,x\r\r\n" % n for n in range(count - 1)) + b"z," + last
    _, rows = read(CsvScanner(encoding=UTF8), content, 1 << 18)
    assert len(rows) == count
    assert [row.value[0] for row in rows if isinstance(row, Row)] == [
        *map(str, range(count - 1)),
        "z",
    ]


@settings(deadline=None)
@given(
    members=st.lists(st.binary(max_size=300) | st.just(b"0" * 600_000), min_size=1, max_size=5),
    padding=st.sampled_from([b"", b"\0" * 9]),
    chunk=st.sampled_from([1, 5, 1_000, 1_000_000]),
    skipped=st.integers(0, 700),
)
def test_all_members_of_a_gzip_file_are_read(
    members: list[bytes], padding: bytes, chunk: int, skipped: int
):
    stored = b"".join(gzip.compress(member) for member in members) + padding
    whole = b"".join(members)
    pieces = list(gunzip(in_chunks(stored, chunk)))
    assert b"".join(pieces) == whole
    assert max(map(len, pieces), default=0) <= 1 << 18
    assert b"".join(skip(gunzip(in_chunks(stored, chunk)), skipped)) == whole[skipped:]


@pytest.mark.parametrize("cut", [1, 10, 40])
def test_a_truncated_gzip_file_is_an_error(cut: int):
    stored = gzip.compress(b"a\n" * 50) + gzip.compress(bytes(range(256)))
    with pytest.raises(CorruptFile, match="cut off"):
        list(gunzip([stored[:-cut]]))


def test_data_after_a_gzip_file_is_an_error():
    with pytest.raises(CorruptFile, match="damaged"):
        list(gunzip([gzip.compress(b"a"), b"garbage"]))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_lines_end_correctly_in_every_encoding(encoding: str):
    chars = "".join(map(chr, range(0x20, 0x3100))) + "漢字"
    text = chars.encode(encoding, "ignore").decode(encoding)
    lines = [f"{char}\n".encode(encoding) for char in text]
    assert list(read_lines([b"".join(lines)], 100, encoding=encoding)) == lines


@settings(deadline=None)
@given(
    lines=st.lists(st.text('a"\u0a0a\u0a22', max_size=30), max_size=9),
    encoding=st.sampled_from(["utf-8", "utf-16-le", "utf-16-be"]),
    chunk=CHUNKS,
)  # fmt: skip
def test_no_more_of_a_line_is_kept_than_the_limit(lines: list[str], encoding: str, chunk: int):
    content = "\n".join(lines).encode(encoding)
    expected: list[bytes | Overlong] = []
    for text in io.StringIO("\n".join(lines), newline="\n"):
        line = text.encode(encoding)
        long = len(line) > 20
        expected.append(Overlong(len(line), text.count('"')) if long else line)
    got = read_lines(in_chunks(content, chunk), 20, encoding=encoding, quote=b'"')
    assert list(got) == expected


@pytest.mark.parametrize(
    "scanner",
    [
        CsvScanner(encoding=UTF8, columns=("a", "b"), longest_row=1 << 16),
        JsonLinesScanner(encoding=UTF8, longest_row=1 << 16),
        JsonLinesScanner(encoding=Encoding("utf-16-le"), longest_row=1 << 16),
    ],
)
@pytest.mark.parametrize("many", ["rows", "one long row"])
def test_memory_is_flat_however_large_a_file_is(scanner: Any, many: str):
    json_row = '{"a":"some text"}\n'.encode(scanner.encoding.name)
    row = b"some,text\n" if isinstance(scanner, CsvScanner) else json_row
    piece = row * 2_000 if many == "rows" else b"x" * 60_000
    head = scanner.head([])

    def peak(pieces: int) -> int:
        tracemalloc.reset_peak()
        for _ in scanner.rows(repeat(piece, pieces), head, head.first):
            pass
        return tracemalloc.get_traced_memory()[1]

    tracemalloc.start()
    try:
        peak(8)
        assert peak(40) < 1.2 * peak(8) + 100_000
    finally:
        tracemalloc.stop()


def test_a_bomb_is_read_piece_by_piece():
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(b"0" * 1_000_000) for _ in range(50)) + packer.flush()
    tracemalloc.start()
    try:
        assert sum(map(len, gunzip([bomb]))) == 50_000_000
        assert tracemalloc.get_traced_memory()[1] < 3_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.csv", b"a,b\n1,2\n", "CSV with a header, comma as delimiter, utf-8"),
        ("x.CSV.GZ", gzip.compress(b"a;b\n1;2\n", mtime=0), "semicolon as delimiter, UTF-8, gzip"),
        (
            "x.tsv",
            "a\tb,c\n".encode("utf-16"),
            "tab as delimiter, UTF-16-LE with a byte order mark",
        ),
        (
            "x.txt",
            b'\xef\xbb\xbf"a,b"|c\n',
            "vertical bar as delimiter, UTF-8 with a byte order mark",
        ),
        ("x", b' {"a":1}\n', "JSON Lines, UTF-8"),
        ("x.ndjson.gz", gzip.compress(b"1\n", mtime=0), "JSON Lines, UTF-8, gzip"),
        ("x.csv", b"", "CSV with a header, comma as delimiter, UTF-8"),
    ],
)
def test_the_format_of_a_file_is_recognised_and_shown(name: str, content: bytes, words: str):
    found = recognise(name, in_chunks(content, 7), Asked())
    assert words.lower() in found.words.lower()
    assert found.gzip == content.startswith(b"\x1f\x8b")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("a,b\n1,2\n".encode("utf-16-le"), "it looks like UTF-16-LE without a byte order mark"),
        ("a,b\n1,2\n".encode("utf-16-be"), "it looks like UTF-16-BE without a byte order mark"),
        ("a,b\n".encode("utf-32"), "it is encoded as UTF-32"),
        (b"\x1f\x8bnot gzip at all", "its gzip data are damaged"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(content: bytes, why: str):
    with pytest.raises(ValueError, match=why):
        recognise("x", [content], Asked())


def test_a_given_encoding_is_used():
    found = recognise("x.csv", ["a\n€\n".encode("cp1252")], Asked(encoding="cp1252"))
    head, [row] = read(found.scanner, "a\n€\n".encode("cp1252"))
    assert json.loads(found.scanner.content(head, row)) == {"a": "€"}  # type: ignore[arg-type]


def test_columns_are_found_by_name_and_a_missing_one_is_an_error():
    scanner = CsvScanner(encoding=UTF8)
    head, [row] = read(scanner, b"a,b,c\n1,2,3\n")
    assert isinstance(row, Row)
    assert list(scanner.picker(head, ["c", "a"])(row)) == ["3", "1"]
    assert list(scanner.picker(head, ["b"])(row)) == ["2"]
    with pytest.raises(KeyError, match="d"):
        scanner.picker(head, ["a", "d"])
