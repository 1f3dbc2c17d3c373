"""What is said once instead of many times."""

from data.several import alike, by_problem, some


def test_some_names_five_and_counts_the_rest() -> None:
    """Five or fewer are all named."""
    assert some(["a", "b"]) == "a, b"
    assert some([str(n) for n in range(12345)]) == "0, 1, 2, 3, 4 and 12,340 more"


def test_texts_that_differ_in_numbers_are_of_one_kind() -> None:
    """The most frequent kind comes first."""
    assert alike(["a", "b 1", "b 2"]) == [["b 1", "b 2"], ["a"]]


def test_problems_are_counted_by_kind() -> None:
    """An ellipsis stands for numbers that differ; a text that is always the same stays."""
    assert by_problem(
        [("x", "is gone"), ("y", "ends after 5 bytes"), ("z", "ends after 6 bytes")]
    ) == [
        "2 x ends after … bytes: y, z",
        "1 x is gone: x",
    ]
    assert by_problem([("x", "has 0 bytes"), ("y", "has 0 bytes")]) == ["2 x has 0 bytes: x, y"]
