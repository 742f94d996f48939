"""How events write keys, times and ids."""

from datetime import UTC, datetime, timedelta
from urllib.parse import quote, quote_plus, unquote, unquote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from retrofill.aws.objects import pack, unpack_all
from retrofill.events import fields
from retrofill.events.s3 import fields as s3_fields

any_key = st.text(st.characters(exclude_categories=()), max_size=60)  # lone surrogates too
key = st.text(st.characters(codec="utf-8"), max_size=60)


@pytest.mark.parametrize(
    ("spelled", "encoded"),
    [
        ("a/b-c_d.e~f", "a/b-c_d.e~f"),
        ("red flower.jpg", "red+flower.jpg"),
        ("a@b", "a%40b"),
        ("1+1=2", "1%2B1%3D2"),
        ("100%20", "100%2520"),
        ("caf\u00e9", "caf%C3%A9"),
        ("cafe\u0301", "cafe%CC%81"),
        ("line\nend\r\t\0", "line%0Aend%0D%09%00"),
        ("\U0001f600", "%F0%9F%98%80"),
        ("a/../b", "a/../b"),
        ("lone \ud800", "lone+%ED%A0%80"),
        ("", ""),
    ],
)
def test_form_encoded_keys(spelled: str, encoded: str) -> None:
    assert s3_fields.form_encoded(spelled) == encoded


@given(any_key)
def test_form_encoding_is_quote_plus(spelled: str) -> None:
    expected = quote_plus(spelled, safe="/", errors="surrogatepass")
    assert s3_fields.form_encoded(spelled) == expected


@given(any_key)
def test_url_encoding_is_quote(spelled: str) -> None:
    assert s3_fields.url_encoded(spelled) == quote(spelled, safe="/", errors="surrogatepass")


@given(key)
def test_functions_decode_keys_byte_for_byte(spelled: str) -> None:
    assert unquote_plus(s3_fields.form_encoded(spelled)) == spelled
    assert unquote_plus(s3_fields.url_encoded(spelled)) == spelled
    assert unquote(s3_fields.url_encoded(spelled)) == spelled


def test_the_longest_key() -> None:
    assert s3_fields.form_encoded("\u00e9" * 512) == "%C3%A9" * 512


moment = st.datetimes(
    datetime(1970, 1, 1),  # noqa: DTZ001  hypothesis wants it so
    datetime(2200, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
times = st.lists(moment | moment.map(lambda one: one.replace(microsecond=0)))


def seconds_of(moment: datetime) -> str:
    return unpack_all([pack(0, moment, "", "")]).timestamps[0]


@given(times | times.map(lambda some: [one.replace(microsecond=0) for one in some]))
def test_times_equal_those_of_isoformat(times: list[datetime]) -> None:
    def spelled(unit: str) -> list[str]:
        return [one.replace(tzinfo=None).isoformat(timespec=unit) for one in times]

    texts = list(map(seconds_of, times))
    assert fields.all_to_milliseconds(texts) == [f"{one}Z" for one in spelled("milliseconds")]
    assert list(map(fields.to_second, texts)) == spelled("seconds")
    since = [one - datetime(1970, 1, 1, tzinfo=UTC) for one in times]
    milliseconds = [str(one // timedelta(milliseconds=1)) for one in since]
    if all(one >= timedelta(seconds=1) for one in since):
        assert list(map(fields.epoch_milliseconds, texts)) == milliseconds
    assert fields.times_of(texts)[1] == [
        f"{one // timedelta(seconds=1):010X}{one.microseconds:08X}" for one in since
    ]


def test_the_sequencer_is_written_as_in_live_events() -> None:
    # S3 gave an object of this second the sequencer 006408CAD69598B05E.
    moment = datetime(2023, 3, 8, 17, 50, 14, 500_000, tzinfo=UTC)
    assert fields.times_of([seconds_of(moment)])[1] == ["006408CAD60007A120"]


@given(st.lists(any_key))
def test_many_keys_are_encoded_like_single_ones(keys: list[str]) -> None:
    assert list(s3_fields.form_encoded_all(keys)) == list(map(s3_fields.form_encoded, keys))


@given(st.lists(st.text("ab%+= /\u20ac", max_size=6)))
def test_few_kinds_of_bytes_are_encoded_in_all_keys_at_once(keys: list[str]) -> None:
    assert list(s3_fields.form_encoded_all(keys)) == list(map(s3_fields.form_encoded, keys))


@given(st.lists(any_key))
def test_many_texts_are_quoted_like_single_ones(texts: list[str]) -> None:
    assert list(fields.json_insides(texts)) == list(map(fields.json_inside, texts))
