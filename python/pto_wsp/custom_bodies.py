"""C++ bodies of kernels: what `@kernel` is told of them, and where their text stands."""

from __future__ import annotations

import ast
import dataclasses
import linecache
import types
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import pto_wsp._pto_wsp as native
from pto_wsp.errors import CompileError, TypeCheckError, error

_Place = tuple[str, int]

CPP_OPTIONS = ("cpp_src", "cpp_includes", "cpp_body_path", "cpp_tu_path", "cpp_include_dirs")
_SOURCES = ("cpp_src", "cpp_body_path", "cpp_tu_path")


@dataclasses.dataclass(frozen=True)
class CppOptions:
    """The C++ body of a kernel: one of the three sources, and what it includes."""

    cpp_src: str = ""
    cpp_body_path: str = ""
    cpp_tu_path: str = ""
    cpp_includes: tuple[str, ...] = ()
    cpp_include_dirs: tuple[str, ...] = ()
    text_at: _Place | None = None

    def program(
        self,
        name: str,
        params: Sequence[native.Param],
        constants: Mapping[str, Any],
        at: _Place,
    ) -> native.TileProgram:
        """The kernel with this body; a file is read now."""
        source = native.CppSource(
            text=self.cpp_src,
            body_path=self.cpp_body_path,
            unit_path=self.cpp_tu_path,
            includes=self.cpp_includes,
            include_dirs=self.cpp_include_dirs,
            constants=[(key, _constant(name, key, value)) for key, value in constants.items()],
            at=at,
            text_at=self.text_at,
        )
        return native.cpp_program(name, params, source)


def cpp_options(options: Mapping[str, Any], frame: types.FrameType) -> CppOptions | None:
    """What the options of a decorator say of a C++ body; None when they say nothing.

    Raises
    ------
    CompileError
        An option that is not known, or not exactly one source.
    TypeCheckError
        An option of another type.
    """
    if not options:
        return None
    for name in options:
        if name not in CPP_OPTIONS:
            near = native.nearest_name(name, CPP_OPTIONS)
            raise error(
                CompileError,
                f"@kernel: unknown option '{name}'",
                hint=(f"did you mean '{near}'? " if near else "")
                + "the options are "
                + ", ".join(CPP_OPTIONS),
            )
    given = [name for name in _SOURCES if options.get(name) is not None]
    if len(given) != 1:
        raise error(
            CompileError,
            "@kernel: a C++ body is given by "
            + (" and by ".join(given) if given else "none of " + ", ".join(_SOURCES)),
            hint="give one of " + ", ".join(_SOURCES),
        )
    source = _text(given[0], options[given[0]])
    if not source.strip():
        raise error(CompileError, f"@kernel: {given[0]} is empty")
    values: dict[str, Any] = {given[0]: source}
    for name in ("cpp_includes", "cpp_include_dirs"):
        values[name] = _texts(name, options.get(name, ()))
    return CppOptions(
        **values, text_at=_literal_place(source, frame) if "cpp_src" in given else None
    )


def _text(name: str, value: Any) -> str:
    if name != "cpp_src" and hasattr(value, "__fspath__"):
        value = value.__fspath__()
    if not isinstance(value, str):
        raise error(TypeCheckError, f"@kernel: {name} must be a text, got {value!r}")
    return value


def _texts(name: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, (list, tuple)):
        raise error(TypeCheckError, f"@kernel: {name} must be a list of texts, got {value!r}")
    return tuple(_text(name if name != "cpp_includes" else "cpp_src", each) for each in value)


def _literal_place(text: str, frame: types.FrameType) -> _Place | None:
    """Where the literal `text` begins in the file of `frame`, when its lines are those of the file:
    for one that is made in another way there is no place."""
    file = frame.f_code.co_filename
    try:
        tree = ast.parse("".join(linecache.getlines(file, frame.f_globals)))
    except (SyntaxError, ValueError):
        return None
    lines = text.count("\n")
    found = [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and node.value == text
        and (node.end_lineno or 0) - node.lineno == lines
    ]
    # Of several that are equal, the last one before the decorator's end is most likely meant.
    near = [line for line in found if line >= frame.f_lineno] or found[-1:]
    return (file, near[0]) if near else None


def _constant(kernel: str, name: str, value: Any) -> bool | int | float | str:
    if isinstance(value, np.generic):
        value = value.item()
    if not isinstance(value, (bool, int, float, str)):
        raise error(
            TypeCheckError,
            f"kernel '{kernel}': the Constexpr '{name}' is {value!r}, which has no form in C++",
            hint="bool, int, float and str have",
        )
    return value
