"""The check of dropped words finds them where people read, and nowhere else."""

import pytest

from tests.prose import dropped, found_in

PATTERN = dropped()


@pytest.mark.parametrize(
    ("suffix", "text", "found"),
    [
        (".md", "one\nstart\nanew", [(3, "anew")]),
        (".md", "it is `anew`\n```\nanew\n```\nso\nmany", [(5, "so many")]),
        (".html", "{% if x is none %}\n<p>Start Anew</p>{{ anew }}", [(2, "Anew")]),
        (".py", "x = 1 if x is None else 2\n# whoever\n", [(2, "whoever")]),
        (".py", '"""One.\n\nTwo by way\nof three."""\n', [(3, "by way of")]),
        (
            ".py",
            'def mend_it(at_work):\n    return f"{1} anew"\n',
            [(1, "mend"), (1, "at_work"), (2, "anew")],
        ),
        (
            ".sql",
            "-- whoever\nSELECT broken_off FROM mended;",
            [(1, "whoever"), (2, "broken_off"), (2, "mended")],
        ),
        ("", "test:  ## start anew", [(1, "anew")]),
        (".md", "amend, renewed, somewhat, none is", []),
    ],
)
def test_a_dropped_word_is_found_with_its_line(
    suffix: str, text: str, found: list[tuple[int, str]]
) -> None:
    assert list(found_in(text, suffix, PATTERN)) == found


def test_every_word_on_the_list_is_found() -> None:
    listed = ("anew", "mends", "so long", "is none", "made up", "besides", "in vain")
    finds = [next(found_in(f"It is {word}.", ".md", PATTERN))[1] for word in listed]
    assert finds == [*listed]
