"""The workload that is being built by the current thread."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

import pto_wsp._pto_wsp as native
from pto_wsp import naming
from pto_wsp.axes import Dense
from pto_wsp.errors import CompileError, TypeCheckError, error
from pto_wsp.scalar_expr import Owner, common_owner

if TYPE_CHECKING:
    from pto_wsp.kernel_refs import KernelRef
    from pto_wsp.tensor import Tensor


class BuildContext:
    """A workload under construction.

    Attributes
    ----------
    loops : list
        The loops that are open, each an opaque token of who opened it.
    variable_names : list of list of str
        What the variables of the open loops are called, outermost first.
    owner : Owner
        What its loop variables belong to.
    type_errors : list of TypeCheckError
        Calls that do not fit their kernels and were left out.
    """

    def __init__(self, name: str, at: tuple[str, int], collect_errors: bool) -> None:
        self.name = name
        self.builder = native.WorkloadBuilder(name, at)
        self.owner = Owner(name)
        self.type_errors: list[TypeCheckError] = []
        self._collect_errors = collect_errors
        self.loops: list[object] = []
        self.variable_names: list[list[str]] = []
        self.kernels: dict[native.Kernel, KernelRef] = {}
        self._wrapped: dict[int, tuple[Any, Tensor]] = {}
        self._tensor_names: dict[int, str] = {}
        self._axis_names: list[tuple[Dense, str]] = []
        self._taken: set[str] = set()

    @contextlib.contextmanager
    def collecting(self) -> Iterator[None]:
        """Keeps a type error of its body, which has no effect then, unless errors are raised."""
        try:
            yield
        except TypeCheckError as wrong:
            if not self._collect_errors:
                raise
            self.type_errors.append(wrong.with_traceback(None))

    def require_own(self, what: str, value: Any) -> None:
        """Refuses `value` when loop variables of another workload are in it: their names may be
        those of loops of this one."""
        owner = common_owner(value)
        if owner not in (None, self.owner):
            raise error(
                TypeCheckError,
                f"{what} uses a loop variable of workload '{owner.name}', not of the one that is "
                "being built",
                hint="use the variables of the loops around the call",
            )

    def learn_names(self, variables: Mapping[str, Any]) -> None:
        """Takes the names of the tensors, arrays and axes among `variables`; the first one wins."""
        from pto_wsp.tensor import Tensor

        for name, value in variables.items():
            if isinstance(value, Tensor):
                self._tensor_names.setdefault(value.identity, name)
            elif isinstance(value, Dense):
                self._axis_names.append((value, name))
            elif isinstance(value, np.ndarray) or hasattr(type(value), "__dlpack__"):
                self._tensor_names.setdefault(id(value), name)

    def axis_names(self, axis: Any) -> list[str]:
        """The variables that hold `axis` itself."""
        return [name for held, name in self._axis_names if held is axis]

    def wrap(self, array: Any) -> Tensor:
        """`array` as a tensor, the same one each time."""
        from pto_wsp.tensor import Tensor

        if id(array) not in self._wrapped:
            tensor = Tensor(array, name=self._tensor_names.get(id(array)))
            self._wrapped[id(array)] = (array, tensor)
        return self._wrapped[id(array)][1]

    def name_tensor(self, tensor: Tensor) -> None:
        """Names the memory that `tensor` is a view of after the variable that holds it."""
        if tensor.name:
            self._taken.add(tensor.name)
            return
        name = self._tensor_names.get(tensor.identity)
        if name is None:
            self.learn_names(naming.user_variables())
            name = self._tensor_names.get(tensor.identity)
        base = name or "t"
        number = 1
        name = base
        while name in self._taken:
            number += 1
            name = f"{base}_{number}"
        self._taken.add(name)
        tensor.set_name(name)


class _Stack(threading.local):
    def __init__(self) -> None:
        self.contexts: list[BuildContext] = []


_stack = _Stack()


def push(context: BuildContext) -> None:
    """Makes `context` the current one of this thread."""
    _stack.contexts.append(context)


def pop() -> None:
    """Goes back to the one before."""
    _stack.contexts.pop()


def current() -> BuildContext | None:
    """The workload that this thread builds, if any."""
    return _stack.contexts[-1] if _stack.contexts else None


def required(what: str) -> BuildContext:
    """The workload that this thread builds.

    Raises
    ------
    CompileError
        There is none.
    """
    context = current()
    if context is None:
        raise error(
            CompileError,
            f"{what} is used outside the body of a workload",
            hint="use it in a function decorated with @workload",
        )
    return context
