"""The names that a user gave to things, read from the code that uses them.

A loop ``for b, h in P(batch, heads)`` knows its targets and the variables that hold its axes from
the bytecode around it: nothing is executed, and where the code has another form there is no name.
"""

from __future__ import annotations

import bisect
import dis
import pathlib
import sys
import types
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

_package = str(pathlib.Path(__file__).parent)

_loads = ("LOAD_FAST", "LOAD_NAME", "LOAD_GLOBAL", "LOAD_DEREF", "LOAD_CLASSDEREF")
_stores = ("STORE_FAST", "STORE_NAME", "STORE_GLOBAL", "STORE_DEREF")
_silent = {"CACHE", "PRECALL", "KW_NAMES", "PUSH_NULL", "NOP", "EXTENDED_ARG", "NOT_TAKEN"}


@lru_cache(maxsize=256)
def _steps(code: types.CodeType) -> list[dis.Instruction]:
    return [step for step in dis.get_instructions(code) if step.opname not in _silent]


def _position(steps: list[dis.Instruction], frame: types.FrameType) -> int:
    """The step that `frame` is at, which may point behind its start."""
    return bisect.bisect_right([step.offset for step in steps], frame.f_lasti) - 1


def loop_targets(frame: types.FrameType, count: int) -> list[str | None]:
    """The names of the `count` targets of the ``for`` that `frame` is at."""
    steps = _steps(frame.f_code)
    at = _position(steps, frame)
    unknown: list[str | None] = [None] * count
    if steps[at].opname != "FOR_ITER":
        return unknown
    at += 1
    if count > 1:
        if at >= len(steps) or steps[at].opname != "UNPACK_SEQUENCE" or steps[at].arg != count:
            return unknown
        at += 1
    names: list[str | None] = []
    while len(names) < count and at < len(steps) and steps[at].opname.startswith(_stores):
        # Newer interpreters store two locals in one step.
        value = steps[at].argval
        names.extend(value if isinstance(value, tuple) else [value])
        at += 1
    return names[:count] if len(names) >= count else unknown


def assigned_target(frame: types.FrameType) -> str | None:
    """The variable that takes the result of the call that `frame` is at, also of a ``with``."""
    steps = _steps(frame.f_code)
    at = _position(steps, frame) + 1
    while at < len(steps) and steps[at].opname in ("BEFORE_WITH", "SETUP_WITH"):
        at += 1
    if at < len(steps) and steps[at].opname.startswith(_stores):
        value = steps[at].argval
        return value[0] if isinstance(value, tuple) else str(value)
    return None


def unpack_count(frame: types.FrameType) -> int | None:
    """To how many targets `frame` unpacks a value now."""
    steps = _steps(frame.f_code)
    step = steps[_position(steps, frame)]
    return step.arg if step.opname == "UNPACK_SEQUENCE" else None


def unpacked_targets(frame: types.FrameType) -> int | None:
    """To how many targets a ``for`` unpacks its value, where `frame` is at that."""
    steps = _steps(frame.f_code)
    at = _position(steps, frame)
    is_loop = steps[at].opname == "UNPACK_SEQUENCE" and steps[at - 1].opname == "FOR_ITER"
    return steps[at].arg if is_loop else None


def is_importing(frame: types.FrameType) -> bool:
    """True when `frame` is at ``from ... import``."""
    steps = _steps(frame.f_code)
    return steps[_position(steps, frame)].opname == "IMPORT_FROM"


def argument_names(frame: types.FrameType, count: int) -> list[str | None]:
    """The variables passed as the `count` arguments of the call that `frame` is at."""
    steps = _steps(frame.f_code)
    at = _position(steps, frame)
    unknown: list[str | None] = [None] * count
    names: list[str | None] = []
    while len(names) < count and at > 0:
        at -= 1
        step = steps[at]
        if step.opname.startswith(_loads):
            value = step.argval
            names.extend(reversed(value) if isinstance(value, tuple) else [value])
        elif step.opname == "LOAD_CONST":
            names.append(None)
        else:
            return unknown
    return names[:count][::-1] if len(names) >= count else unknown


def singular(name: str) -> str | None:
    """``head`` for ``heads``; None when `name` is no plural."""
    if len(name) > 3 and name.endswith("ies"):
        return name[:-3] + "y"
    if len(name) > 1 and name.endswith("s") and not name.endswith("ss"):
        return name[:-1]
    return None


def user_variables() -> Mapping[str, Any]:
    """The local variables of the innermost function outside the package."""
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_package):
        frame = frame.f_back
    return frame.f_locals if frame is not None else {}
