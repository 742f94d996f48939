from demo.checks import Check, counts_are, exactly_one_output
from demo.functions.word_count import output_folder
from demo.runs import RunCounts

A, B, C, D, E = (output_folder(key) for key in "abcde")


def test_a_check_holds_if_what_was_seen_is_what_was_expected():
    assert Check("same", (1, 2), (1, 2)).held
    assert not Check("other", [], None).held


def test_only_the_counts_that_are_named_are_compared():
    run = RunCounts(
        status="complete",
        partitions=1,
        partitions_left=0,
        listed=3,
        known=1,
        new=2,
        left_out={},
        succeeded=2,
        quarantined=0,
        calls=2,
        retries=0,
        duplicates=0,
        seconds=1.5,
    )
    assert counts_are("claim", run, listed=3, new=2).held
    check = counts_are("claim", run, listed=3, known=0)
    assert not check.held
    assert check.seen == {"listed": 3, "known": 1}


def test_one_output_each_is_as_expected():
    assert exactly_one_output("claim", ["a", "b"], [B, A]).held


def test_what_is_missing_repeated_or_foreign_is_named_and_counted():
    check = exactly_one_output("claim", ["a", "b", "c"], [B, B, C, D, E])
    assert not check.held
    assert check.expected == "3 with one output"
    assert check.seen == (
        "1 with one output; 1 with none ('a'); 1 with more than one ('b'); 2 outputs of no object"
    )


def test_an_output_of_no_object_alone_breaks_the_check():
    assert not exactly_one_output("claim", ["a"], [A, B]).held


def test_only_a_few_keys_are_named():
    check = exactly_one_output("claim", ["a", "b", "c", "d"], [])
    assert check.seen == "0 with one output; 4 with none ('a', 'b', 'c', …)"
