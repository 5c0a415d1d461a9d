"""The workload that is being built by the current thread."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

import pto_wsp._pto_wsp as native
from pto_wsp import naming
from pto_wsp.axes import Dense, DenseDyn, Ragged, Sparse
from pto_wsp.errors import CompileError, TypeCheckError, error
from pto_wsp.meshes import Sharded
from pto_wsp.scalar_expr import Owner, ScalarExpr, common_owner
from pto_wsp.symbols import Symbol
from pto_wsp.tables import IndexableArray, Source, Table, refuse_written

if TYPE_CHECKING:
    from pto_wsp.kernel_refs import KernelRef
    from pto_wsp.statements import UnboundCall
    from pto_wsp.tensor import Tensor
    from pto_wsp.workloads import Workload


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
        self.sharded: list[Sharded] = []  # arguments, which need a mesh
        self._collect_errors = collect_errors
        self.loops: list[object] = []
        self.variable_names: list[list[str]] = []
        self.kernels: dict[native.Kernel, KernelRef] = {}
        self._wrapped: dict[int, tuple[Any, Tensor]] = {}
        self._tensor_names: dict[int, str] = {}
        self._axis_names: list[tuple[object, str]] = []
        self._holders: dict[int, tuple[object, str]] = {}
        self._symbols: dict[int, tuple[DenseDyn, str]] = {}
        self._source_tables: dict[int, Table] = {}
        self._table_names: dict[int, str] = {}
        self.tables: dict[str, Table] = {}
        self._included: dict[Source, set[str]] = {}
        self.unsent: list[UnboundCall] = []
        self._taken: set[str] = set()

    @contextlib.contextmanager
    def collecting(self) -> Iterator[None]:
        """Keeps a type error of its body, which has no effect then, unless errors are raised."""
        try:
            yield
        except TypeCheckError as wrong:
            if not self._collect_errors:
                if self.unsent:
                    # A call before this one lacks outputs.
                    raise self.unsent[0].problem from None
                raise
            self.type_errors.append(wrong.with_traceback(None))

    def expect_sent(self, call: UnboundCall) -> None:
        """Keeps a call that is wrong unless it is sent."""
        self.unsent.append(call)
        if self._collect_errors:
            self.type_errors.append(call.problem)

    def forgive(self, call: UnboundCall) -> None:
        """The call is sent."""
        self.unsent.remove(call)
        if self._collect_errors:
            self.type_errors.remove(call.problem)

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
            elif isinstance(value, (list, tuple)):
                self._holders.setdefault(id(value), (value, name))
            elif isinstance(value, (Dense, DenseDyn, Ragged, Sparse, Symbol)):
                self._axis_names.append((value, name))
            elif isinstance(value, np.ndarray) or hasattr(type(value), "__dlpack__"):
                self._tensor_names.setdefault(id(value), name)

    def axis_names(self, axis: Any) -> list[str]:
        """The variables that hold `axis` itself."""
        return [name for held, name in self._axis_names if held is axis]

    def holder(self, value: Any) -> str | None:
        """The variable that holds `value`: an axis, a list, an array or a tensor."""
        for held, name in self._axis_names:
            if held is value:
                return name
        if id(value) in self._holders:
            return self._holders[id(value)][1]
        identity = value.identity if hasattr(value, "identity") else id(value)
        return self._tensor_names.get(identity) or getattr(value, "name", None) or None

    def _free_name(self, wanted: str) -> str:
        name = wanted
        number = 1
        while name in self._taken:
            number += 1
            name = f"{wanted}_{number}"
        self._taken.add(name)
        return name

    def symbol_of(self, axis: DenseDyn) -> str:
        """The symbol of an axis that was given a number, which is its value at first."""
        assert isinstance(axis.size, int)
        if id(axis) not in self._symbols:
            name = self._free_name(self.holder(axis) or "size")
            self._symbols[id(axis)] = (axis, name)
            self.builder.set_symbol(name, axis.size)
        return self._symbols[id(axis)][1]

    def table_of(self, source: Any) -> Table:
        """The table of what a user holds, the same one each time."""
        if id(source) not in self._source_tables:
            what = self.holder(source) or "a list"
            held = Source(source, what)
            self._source_tables[id(source)] = Table("", (held,), lambda ints: ints)
        return self._source_tables[id(source)]

    def table_name(self, table: Table) -> str:
        """The name of a table in expressions."""
        if id(table) not in self._table_names:
            if not table.suffix:
                held = self.source_name(table.sources[0])
                wanted = held or (self._axis_of(table) or "table") + ".values"
            else:
                wanted = (self._axis_of(table) or "table") + table.suffix
            name = self._free_name(wanted)
            self._table_names[id(table)] = name
            self.tables[name] = table
            self.builder.set_table(name, table.values())
        return self._table_names[id(table)]

    def source_name(self, source: Source) -> str | None:
        """The variable that holds the data."""
        return self.holder(source.data) or source.name

    def _axis_of(self, table: Table) -> str | None:
        for held, name in self._axis_names:
            if table in vars(held).values() if hasattr(held, "__dict__") else False:
                return name
        return None

    def finished(self) -> Workload:
        """What was built."""
        from pto_wsp.workloads import Workload

        if self.unsent and not self._collect_errors:
            raise self.unsent[0].problem
        made = self.builder.finish()
        refuse_written(made.written(), self.tables)
        names = {source: set(held) for source, held in self._included.items()}
        for name, table in self.tables.items():
            if id(table) not in self._table_names:
                continue
            for source in table.sources:
                own = source is table.sources[0] and not table.suffix
                held = {self.source_name(source), name if own else None}
                names.setdefault(source, set()).update(n for n in held if n)
        for axis, name in self._axis_names:
            # An axis of one list is that list; of several it is none of them.
            of_axis = axis.sources if isinstance(axis, (Ragged, Sparse)) else ()
            for source in of_axis:
                if source in names:
                    names[source].add(name if len(of_axis) == 1 else f"{name}.{source.part}")
        return Workload(
            made,
            self.kernels,
            type_errors=self.type_errors,
            tables=self.tables,
            names=names,
            on_mesh=self.sharded,
        )

    def include(self, part: Workload, what: str) -> None:
        """A workload that is already built, as part of this one."""
        if part.schedule:
            raise error(
                CompileError,
                f"{what}: '{part.name}' has a schedule of its own: {part.schedule}",
                hint=f"schedule the whole: {what}(...).dispatch(...)",
            )
        if part._type_errors:
            raise part._type_errors[0]
        _, renamed = self.builder.include(part._native)
        self.kernels.update(part._kernels)
        self.sharded += part._on_mesh
        self.tables.update((renamed.get(key, key), table) for key, table in part._tables.items())
        for source, names in part._sources.items():
            self._included.setdefault(source, set()).update(names)

    def expression_of(self, at: ScalarExpr) -> native.Affine:
        """`at` as an index; what is not affine becomes a variable with that value."""
        return self.builder.index_of(at.native)

    def wrap(self, array: Any) -> Tensor:
        """`array` as a tensor, the same one each time."""
        from pto_wsp.tensor import Tensor

        if isinstance(array, IndexableArray) and array.source is not None:
            array = array.source
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
