"""What the tests of the Python package share."""

from __future__ import annotations

import inspect
import os
import signal
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from pto_wsp import DType, PtoError

# Random tests draw the same inputs in every run. PTO_WSP_RANDOM=20 draws others, 20 times as many;
# a failure prints what reproduces it, `--hypothesis-seed=N` repeats a whole run.
RANDOM = int(os.environ.get("PTO_WSP_RANDOM", "0"))
settings.register_profile("fixed", derandomize=True, database=None)
settings.register_profile("random", print_blob=True, database=None)
settings.load_profile("random" if RANDOM else "fixed")


def examples(count: int) -> int:
    """How many inputs a random test draws: `count`, or a multiple of it."""
    return count * max(RANDOM, 1)


def pytest_report_header() -> str:
    if RANDOM:
        return f"random tests: new inputs, {RANDOM} times as many (PTO_WSP_RANDOM)"
    return "random tests: the same inputs in every run (PTO_WSP_RANDOM=20 draws others)"


# What runs in the background of a shell starts with Ctrl-C ignored; some tests are about it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture
def fails() -> Callable[..., PtoError]:
    """`fails(kind, action, text, line=n)`: `action()` raises `kind` at the n-th line of `action`,
    and the first line of the error is `text`."""

    def check(
        kind: type[PtoError],
        action: Callable[[], Any],
        text: str,
        *,
        line: int | None = 1,
        hint: str | None = None,
    ) -> PtoError:
        with pytest.raises(kind) as caught:
            action()
        error = caught.value
        assert error.text == text
        if line is not None:
            first = inspect.getsourcelines(action)[1]
            assert error.at == (__file_of(action), first + line)
            assert str(error).startswith(f"{error.at[0]}:{error.at[1]}: error: {text}")
        if hint is not None:
            assert error.hint == hint
        return error

    return check


def __file_of(action: Callable[[], Any]) -> str:
    return inspect.getfile(action)


FLOATS = (DType.F16, DType.BF16, DType.F32)
