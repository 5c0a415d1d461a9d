"""`@kernel` and its relatives."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Mapping
from typing import Any, overload

from pto_wsp.custom_bodies import CppOptions, cpp_options
from pto_wsp.errors import CompileError, TypeCheckError, error
from pto_wsp.kernel_refs import KernelRef
from pto_wsp.signatures import parse_signature


@overload
def kernel(function: Callable[..., Any]) -> KernelRef: ...
@overload
def kernel(**options: Any) -> Callable[[Callable[..., Any]], KernelRef]: ...


def kernel(function: Any = None, **options: Any) -> Any:
    """Makes a kernel of a function on tiles.

    The body is traced with the primitives of `pto` when it is first needed. An empty body
    (``...``, ``pass`` or a docstring) declares a kernel that ``program.register_kernel`` supplies.

    With one of the first three options the body is C++, compiled with the system's compiler
    (``CXX``, else c++, g++ or clang++), and that of the function must be empty. C++ sees the
    parameters by name: tiles as ``x(r, c)``, ``x.rows()``, ``x.cols()`` (the valid ones),
    ``x.data()``, ``x.stride()``, ``x.column_stride()``; scalars and Constexpr values as numbers;
    elements of F16 and BF16 turn into float and back. What it throws is the task's error. It must
    not keep state that tasks of several threads would share.

    Parameters
    ----------
    cpp_src : str
        The inside of the function.
    cpp_body_path : str or path
        A file that holds the inside of the function.
    cpp_tu_path : str or path
        A file that defines a function of the kernel's name, which returns nothing and takes the
        tiles and scalars in order, as `TileRef` and numbers, then the Constexpr values.
    cpp_includes : list of str
        ``"<cmath>"``, ``'"mine.h"'`` or ``"mine.h"``, which is looked for beside the source.
    cpp_include_dirs : list of str
        Directories of headers.

    Raises
    ------
    TypeCheckError
        An annotation is missing or wrong.
    CompileError
        An option that is not known, or two bodies. What a C++ compiler finds is raised when the
        kernel is compiled, at the line of its text.
    """
    frame = sys._getframe(1)
    decorate = _decorator("kernel", frame, options, cpp_options(options, frame))
    return decorate if function is None else decorate(function)


jit_kernel = kernel


@overload
def ptoisa_kernel(function: Callable[..., Any]) -> KernelRef: ...
@overload
def ptoisa_kernel() -> Callable[[Callable[..., Any]], KernelRef]: ...


def ptoisa_kernel(function: Any = None, **options: Any) -> Any:
    """Makes a kernel of a function that is written with the instructions of `ptoisa`.

    Raises
    ------
    TypeCheckError
        An annotation is missing or wrong.
    CompileError
        There is an option.
    """
    if options:
        name = next(iter(options))
        raise error(CompileError, f"@ptoisa_kernel: unknown option '{name}'", hint="it has none")
    decorate = _decorator("ptoisa_kernel", sys._getframe(1), {}, None)
    return decorate if function is None else decorate(function)


def _decorator(
    name: str, frame: types.FrameType, options: Mapping[str, Any], cpp: CppOptions | None
) -> Callable[[Callable[..., Any]], KernelRef]:
    visible = frame.f_locals

    def decorate(body: Callable[..., Any]) -> KernelRef:
        if not isinstance(body, types.FunctionType):
            raise error(TypeCheckError, f"@{name}: expected a function, got {body!r}")
        return KernelRef(body, parse_signature(body, visible), options, cpp)

    return decorate
