from urllib.parse import unquote_plus

from demo.objects import live_objects, objects_from_before

BEFORE = list(objects_from_before(1000))
KEYS = [stored.key for stored in BEFORE]


def test_keys_are_unique():
    assert len({*KEYS, *(stored.key for stored in live_objects(5))}) == 1005


def test_some_keys_are_as_long_as_s3_allows_and_none_is_longer():
    lengths = {len(key.encode()) for key in KEYS}
    assert max(lengths) == 1024


def test_long_keys_are_made_of_one_byte_and_of_two_byte_characters():
    long = [key for key in KEYS if len(key.encode()) == 1024]
    assert {len(key) < 1000 for key in long} == {True, False}


def test_every_part_of_a_key_is_a_file_name():
    names = [name for key in KEYS for name in key.split("/")]
    assert "" not in names
    assert max(len(name.encode()) for name in names) <= 200


def test_every_encoding_pitfall_is_covered():
    text = "".join(KEYS)
    assert all(trap in text for trap in (" ", "+", "%20", "é", "報", "🚀", "\n", "&", '"', "\\"))


def test_sizes_range_from_zero_to_tens_of_kilobytes():
    sizes = {len(stored.body) for stored in BEFORE}
    assert min(sizes) == 0
    assert max(sizes) > 50_000
    assert len(sizes) > 100


def test_live_keys_read_the_same_encoded_or_not():
    assert all(unquote_plus(stored.key) == stored.key for stored in live_objects(5))
