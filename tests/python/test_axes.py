"""Axes."""

import pytest
from pto_wsp import Dense, TypeCheckError


def test_spellings_are_equal() -> None:
    assert Dense[4] == Dense[4]() == Dense(4) == Dense(4)()
    assert Dense[4] != Dense[5]
    assert Dense[4].size == len(Dense[4]) == 4
    assert repr(Dense[4]) == "Dense[4]"
    assert {Dense[4], Dense(4)} == {Dense[4]}


@pytest.mark.error
def test_sizes_are_checked(fails) -> None:
    def negative() -> None:
        Dense[-1]

    fails(TypeCheckError, negative, "Dense: size must be >= 0, got -1")

    def text() -> None:
        Dense["n"]

    fails(TypeCheckError, text, "Dense: size must be an integer, got 'n'")
