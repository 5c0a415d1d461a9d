"""Keys of policies: integer expressions of loop variables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pto_wsp.errors import PtoError, ScheduleError, error
from pto_wsp.scalar_expr import ScalarExpr, as_expr, axis, is_scalar

Key = str | ScalarExpr | Callable[[Any], Any]


class TaskProxy:
    """The task that a key function is called with once, to see which expression it is."""

    def get(self, name: str) -> ScalarExpr:
        """The value of the loop variable called `name`."""
        return axis(name)

    def __getattr__(self, name: str) -> ScalarExpr:
        if name.startswith("__"):
            raise AttributeError(name)
        return axis(name)


def key_expr(key: Any, step: str) -> ScalarExpr:
    """The expression of a key; a function is traced into one.

    Raises
    ------
    ScheduleError
        It is none, with the reason.
    """
    made = _traced(key, step)
    if not is_scalar(made):
        raise _bad_key(step, f"the function returns {made!r}, not an integer expression")
    return as_expr(made)


def key_exprs(key: Any, step: str) -> list[ScalarExpr]:
    """The expressions of a key that may be several: a tuple or list, or a function that returns
    one.

    Raises
    ------
    ScheduleError
        One is no expression, or there is none.
    """
    made = key if isinstance(key, (tuple, list)) else _traced(key, step)
    if not isinstance(made, (tuple, list)):
        return [key_expr(made, step)]
    if not made:
        raise _bad_key(step, "it is empty")
    return [key_expr(part, step) for part in made]


def _traced(key: Any, step: str) -> Any:
    if isinstance(key, str):
        try:
            return ScalarExpr(key)
        except PtoError as cause:
            raise _bad_key(step, cause.text) from None
    if is_scalar(key):
        return as_expr(key)
    if not callable(key):
        raise _bad_key(step, f"{key!r} is neither an expression nor a function")
    try:
        return key(TaskProxy())
    except PtoError as cause:
        raise _bad_key(step, cause.text) from cause
    except Exception as cause:
        raise _bad_key(step, f"{type(cause).__name__}: {cause}") from cause


def _bad_key(step: str, reason: str) -> ScheduleError:
    made = error(
        ScheduleError,
        f"{step}: the key cannot be made an expression: {reason}",
        hint='write it over loop variables with + - * // % & | ^ << >> and comparisons: "b % 4"',
    )
    assert isinstance(made, ScheduleError)
    return made
