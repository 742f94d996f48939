"""Rules: the first one that matches a call takes it."""

from stack.endpoint.rulebook import Rulebook, Taken
from stack.endpoint.script import Operation, Reply, Rule, Script, Span

INVOKE = Operation.INVOKE


def rulebook(*rules: Rule) -> Rulebook:
    return Rulebook(Script(rules=rules))


def label(taken: Taken | None) -> str | None:
    return None if taken is None else taken.rule.reply.body


def test_without_a_rule_for_the_operation_no_call_is_taken() -> None:
    book = rulebook(Rule(operation=Operation.LIST_OBJECTS, reply=Reply(body="x")))
    assert book.take(INVOKE, "f") is None
    assert not book.reads_items


def test_the_first_of_two_rules_takes_the_call_and_both_count_it() -> None:
    book = rulebook(
        Rule(calls=frozenset({1, 3}), reply=Reply(body="first")),
        Rule(calls=Span(first=3), reply=Reply(body="second")),
    )
    taken = [label(book.take(INVOKE, "f")) for _ in range(4)]
    assert taken == ["first", None, "first", "second"]


def test_a_rule_for_a_resource_counts_only_its_calls() -> None:
    book = rulebook(Rule(resource="g", calls=frozenset({2}), reply=Reply(body="x")))
    taken = [label(book.take(INVOKE, name)) for name in ("f", "g", "f", "g", "g")]
    assert taken == [None, None, None, "x", None]


def test_a_rule_with_keys_takes_calls_that_carry_one_and_names_it() -> None:
    book = rulebook(Rule(keys=frozenset({"b", "c"}), reply=Reply(body="x")))
    assert book.reads_items
    assert book.take(INVOKE, "f", ["a"]) is None
    taken = book.take(INVOKE, "f", ["a", "c", "b"])
    assert taken is not None
    assert taken.keys == ["c", "b"]


def test_arrivals_of_a_key_count_calls_that_carry_it() -> None:
    book = rulebook(
        Rule(keys=frozenset({"a"}), arrivals=frozenset({2}), reply=Reply(body="x")),
    )
    carried = (["a"], ["b"], ["b"], ["a", "a", "b"], ["a"])
    assert [label(book.take(INVOKE, "f", keys)) for keys in carried] == [
        None,
        None,
        None,
        "x",
        None,
    ]


def test_arrivals_without_keys_watch_every_item() -> None:
    book = rulebook(Rule(arrivals=frozenset({1}), reply=Reply(body="x")))
    first = book.take(INVOKE, "f", ["a", "b"])
    assert first is not None
    assert first.keys == ["a", "b"]
    assert book.take(INVOKE, "f", ["a", "b"]) is None
    mixed = book.take(INVOKE, "f", ["a", "c"])
    assert mixed is not None
    assert mixed.keys == ["c"]


def test_above_in_flight_takes_the_first_call_above_the_limit() -> None:
    book = rulebook(Rule(above_in_flight=3, reply=Reply(body="x")))
    taken = [label(book.take(INVOKE, "f", running=running)) for running in (0, 2, 3, 4)]
    assert taken == [None, None, "x", "x"]


def test_draws_repeat_and_keep_near_the_probability() -> None:
    first, second = (Rule(probability=0.25, reply=Reply(body=text)) for text in ("x", "y"))

    def draws() -> list[str | None]:
        book = rulebook(first, second)
        return [label(book.take(INVOKE, "f")) for _ in range(2_000)]

    drawn = draws()
    assert drawn == draws()
    assert 400 < drawn.count("x") < 600
    assert 275 < drawn.count("y") < 475


def test_probability_0_takes_no_call() -> None:
    book = rulebook(Rule(probability=0, reply=Reply(body="x")))
    assert all(book.take(INVOKE, "f") is None for _ in range(100))
