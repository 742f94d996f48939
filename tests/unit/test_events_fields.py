"""Keys, times and ids as the events spell them."""

from datetime import UTC, datetime
from urllib.parse import quote, quote_plus, unquote, unquote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from retrofill.events import fields

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
    assert fields.form_encoded(spelled) == encoded


@given(any_key)
def test_form_encoding_is_quote_plus(spelled: str) -> None:
    expected = quote_plus(spelled, safe="/", errors="surrogatepass")
    assert fields.form_encoded(spelled) == expected


@given(any_key)
def test_url_encoding_is_quote(spelled: str) -> None:
    assert fields.url_encoded(spelled) == quote(spelled, safe="/", errors="surrogatepass")


@given(key)
def test_functions_decode_keys_byte_for_byte(spelled: str) -> None:
    assert unquote_plus(fields.form_encoded(spelled)) == spelled
    assert unquote_plus(fields.url_encoded(spelled)) == spelled
    assert unquote(fields.url_encoded(spelled)) == spelled


def test_the_longest_key() -> None:
    assert fields.form_encoded("\u00e9" * 512) == "%C3%A9" * 512


@given(st.datetimes(datetime(1970, 1, 1), datetime(2106, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_times_are_those_of_isoformat(moment: datetime) -> None:
    whole = moment.isoformat(timespec="milliseconds")
    assert fields.to_milliseconds(moment) == whole.replace("+00:00", "Z")
    assert fields.to_seconds(moment) == moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def test_sequencer_is_spelled_as_in_live_events() -> None:
    # S3 gave an object of this second the sequencer 006408CAD69598B05E.
    moment = datetime(2023, 3, 8, 17, 50, 14, 500_000, tzinfo=UTC)
    assert fields.sequencer(moment) == "006408CAD60007A120"


moment = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1))  # noqa: DTZ001  it is in UTC


@given(st.lists(moment))
def test_many_moments_are_spelled_as_each_by_itself(moments: list[datetime]) -> None:
    aware = [one.replace(tzinfo=UTC) for one in moments]
    texts = [one.isoformat() for one in moments]
    assert fields.all_to_milliseconds(texts) == list(map(fields.to_milliseconds, aware))
    assert fields.all_sequencers(texts) == list(map(fields.sequencer, aware))


def test_a_fraction_may_have_few_digits() -> None:
    half_past = ["2023-03-08T17:50:14.5"]
    assert fields.all_to_milliseconds(half_past) == ["2023-03-08T17:50:14.500Z"]
    assert fields.all_sequencers(half_past) == ["006408CAD60007A120"]


@given(st.lists(any_key))
def test_many_keys_are_encoded_as_each_by_itself(keys: list[str]) -> None:
    assert list(fields.form_encoded_all(keys)) == list(map(fields.form_encoded, keys))


@given(st.lists(st.text("ab%+= /\u20ac", max_size=6)))
def test_few_kinds_of_bytes_are_encoded_in_all_keys_at_once(keys: list[str]) -> None:
    assert list(fields.form_encoded_all(keys)) == list(map(fields.form_encoded, keys))


@given(st.lists(any_key))
def test_many_texts_are_quoted_as_each_by_itself(texts: list[str]) -> None:
    assert list(fields.json_insides(texts)) == list(map(fields.json_inside, texts))
