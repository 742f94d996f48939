from demo.checks import Check, counts_are, exactly_one_output
from demo.functions.word_count import output_folder
from demo.runs import RunCounts

A, B, C, D, E = (output_folder(key) for key in "abcde")


def test_a_check_holds_if_found_equals_expected():
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


def test_one_output_per_object_passes_the_check():
    assert exactly_one_output("claim", ["a", "b"], [B, A]).held


def test_missing_repeated_and_unexpected_outputs_are_named_and_counted():
    check = exactly_one_output("claim", ["a", "b", "c"], [B, B, C, D, E])
    assert not check.held
    assert check.expected == "3 with one output"
    assert check.seen == (
        "1 with one output; 1 without output ('a'); 1 with several outputs ('b');"
        " 2 outputs of unknown objects"
    )


def test_an_unexpected_output_fails_the_check():
    assert not exactly_one_output("claim", ["a"], [A, B]).held


def test_only_a_few_keys_are_named():
    check = exactly_one_output("claim", ["a", "b", "c", "d"], [])
    assert check.seen == "0 with one output; 4 without output ('a', 'b', 'c', …)"
