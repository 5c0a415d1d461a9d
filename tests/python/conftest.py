"""What the tests of the Python package share."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pto_wsp import DType, PtoError


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
