"""Kernels whose code is a C++ file."""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Sequence

import pto_wsp._pto_wsp as native
from pto_wsp.annotations import DirectedSpec
from pto_wsp.custom_bodies import CppOptions
from pto_wsp.errors import TypeCheckError, error, user_place
from pto_wsp.kernel_refs import KernelRef
from pto_wsp.signatures import Parameter, Signature


class ExternalKernel(KernelRef):
    """A kernel whose code is a C++ file that defines a function of its name.

    The function returns nothing and takes the inputs, then the outputs, as `TileRef` of what the
    call binds: see ``cpp_tu_path`` of `kernel`, which is the same with types that are declared. A
    name that is both an input and an output is read and written.

    Parameters
    ----------
    name : str
        Of the kernel and of the function.
    impl_path : str or path
        The file; relative to the file of the caller, else to the working directory. It is read when
        the kernel is first used.
    inputs, outputs : sequence of str
        Names of the parameters.

    Raises
    ------
    TypeCheckError
        A name that is no identifier or comes twice, or no output.
    """

    def __init__(
        self,
        name: str,
        impl_path: str | os.PathLike[str],
        inputs: Sequence[str],
        outputs: Sequence[str],
    ) -> None:
        if not isinstance(name, str) or not name.isidentifier():
            raise error(TypeCheckError, f"ExternalKernel: the name {name!r} is no identifier")
        parameters = []
        for which, names in (("inputs", inputs), ("outputs", outputs)):
            if isinstance(names, str) or not isinstance(names, (list, tuple)):
                raise error(
                    TypeCheckError,
                    f"ExternalKernel '{name}': {which} must be a list of names, got {names!r}",
                )
            for each in names:
                if (
                    not isinstance(each, str)
                    or not each.isidentifier()
                    or list(names).count(each) > 1
                ):
                    raise error(
                        TypeCheckError,
                        f"ExternalKernel '{name}': {which} holds {each!r}, which "
                        + ("comes twice" if list(names).count(each) > 1 else "is no identifier"),
                    )
        if not outputs:
            raise error(TypeCheckError, f"ExternalKernel '{name}': there are no outputs")
        for each in (*inputs, *(output for output in outputs if output not in inputs)):
            direction = (
                native.Direction.InOut
                if each in inputs and each in outputs
                else native.Direction.In
                if each in inputs
                else native.Direction.Out
            )
            parameters.append(Parameter(each, DirectedSpec(direction, None)))
        if not isinstance(impl_path, (str, os.PathLike)) or not os.fspath(impl_path):
            raise error(
                TypeCheckError, f"ExternalKernel '{name}': impl_path is {impl_path!r}, not a path"
            )
        super().__init__(
            function_at(name, user_place()),
            Signature(name, parameters),
            {"cpp_tu_path": os.fspath(impl_path)},
            CppOptions(cpp_tu_path=os.fspath(impl_path)),
        )


def function_at(name: str, place: tuple[str, int]) -> types.FunctionType:
    """An empty function that says it is `name` at `place`."""

    def empty() -> None: ...

    code = empty.__code__.replace(co_name=name, co_filename=place[0], co_firstlineno=place[1])
    module = next(
        (
            key
            for key, value in list(sys.modules.items())
            if getattr(value, "__file__", None) == place[0]
        ),
        "__main__",
    )
    function = types.FunctionType(code, {"__name__": module}, name)
    function.__qualname__ = name
    return function
