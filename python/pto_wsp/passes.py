"""Passes: workload in, workload out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TextIO

import pto_wsp._pto_wsp as native
from pto_wsp.errors import ScheduleError, TypeCheckError, error
from pto_wsp.workloads import Workload, WorkloadFunction


class Pass:
    """Something that makes a workload of a workload. Subclasses override `run`."""

    @property
    def name(self) -> str:
        """What `PassManager.run(verbose=True)` calls it."""
        return type(self).__name__

    def run(self, workload: Workload) -> Workload:
        """The workload that takes the place of `workload`, which may be `workload` itself."""
        raise NotImplementedError(f"{type(self).__name__} has no run(workload)")


class PrintPass(Pass):
    """Prints the text of the workload, under `label`, and changes nothing."""

    def __init__(self, label: str = "", file: TextIO | None = None) -> None:
        self._label = label
        self._file = file

    def run(self, workload: Workload) -> Workload:
        """Prints it."""
        title = f"// {self._label}\n" if self._label else ""
        print(f"{title}{workload.dump()}", end="", file=self._file or sys.stdout)
        return workload


class RulePass(Pass):
    """Applies one of the tables of rules until none fires. The workload computes the same, to the
    last bit.

    Parameters
    ----------
    table : str
        ``"flatten"``, ``"dead"``, ``"hoist"``, ``"interchange"``, ``"fuse"`` or ``"merge"``.

    Raises
    ------
    ScheduleError
        There is no such table.
    """

    def __init__(self, table: str) -> None:
        if table not in native.workload_tables():
            raise error(
                ScheduleError,
                f"RulePass: unknown table {table!r}",
                hint=f"tables: {', '.join(native.workload_tables())}",
            )
        self.table = table
        #: What fired in the last run and what nearly did, and why it did not.
        self.reasons: list[native.Reason] = []

    @property
    def name(self) -> str:
        """Its class, and the table when that does not say it."""
        return type(self).__name__ if type(self) is not RulePass else f"RulePass({self.table!r})"

    def run(self, workload: Workload) -> Workload:
        """The workload with the rules of the table applied."""
        made, self.reasons = native.rewrite_workload(workload._native, self.table)
        return workload._rewritten(made)

    def explain(self) -> list[native.Reason]:
        """`reasons`."""
        return list(self.reasons)


class FlattenCombinePass(RulePass):
    """A `combine` in a `combine`, a `sequential` in a `sequential` and groups of one are gone."""

    def __init__(self) -> None:
        super().__init__("flatten")


class DeadTaskPass(RulePass):
    """What makes no task, and tasks whose results are overwritten unread, are gone."""

    def __init__(self) -> None:
        super().__init__("dead")


class HoistPass(RulePass):
    """The first task of a loop runs once, before it, when each iteration does the same with it."""

    def __init__(self) -> None:
        super().__init__("hoist")


class InterchangePass(RulePass):
    """A sequential loop around a parallel one whose iterations share nothing becomes a parallel
    loop of sequential ones."""

    def __init__(self) -> None:
        super().__init__("interchange")


class FusePass(RulePass):
    """Two tasks, one after the other, of which the second alone reads a tile that the first writes,
    become one task; the tile is written as before, and not read again."""

    def __init__(self) -> None:
        super().__init__("fuse")


class MergePass(RulePass):
    """Two small tasks, one after the other, that share nothing that is written become one; and so
    do neighbouring iterations of a parallel loop of one small task, where tasks are tracked. A loop
    that runs untracked stays: its iterations are handed to workers in chunks already. Keys of
    schedules that name the variable of a merged loop count the new iterations."""

    def __init__(self) -> None:
        super().__init__("merge")


class FunctionPass(Pass):
    """A function from workload to workload as a pass."""

    def __init__(self, function: Callable[[Workload], Workload], name: str | None = None) -> None:
        self._function = function
        self._name = name or str(getattr(function, "__name__", "function"))

    @property
    def name(self) -> str:
        """The function's name, or the one that was given."""
        return self._name

    def run(self, workload: Workload) -> Workload:
        """Calls the function."""
        return self._function(workload)


class PassManager:
    """Runs passes one after another.

    Examples
    --------
    >>> manager = PassManager().add(FlattenCombinePass()).add(FusePass())
    >>> better = manager.run(workload, verbose=True)
    """

    def __init__(self, passes: Sequence[Pass] = ()) -> None:
        self._passes: list[Pass] = []
        for each in passes:
            self.add(each)

    def add(self, each: Pass) -> PassManager:
        """Adds a pass behind the others.

        Raises
        ------
        TypeCheckError
            It has no method `run`.
        """
        if isinstance(each, type) or not callable(getattr(each, "run", None)):
            raise error(
                TypeCheckError,
                f"PassManager.add: {each!r} is no pass",
                hint="derive from Pass and add an instance, or add_func(a function)",
            )
        self._passes.append(each)
        return self

    def add_func(
        self, function: Callable[[Workload], Workload], name: str | None = None
    ) -> PassManager:
        """Adds a function from workload to workload."""
        if not callable(function):
            raise error(TypeCheckError, f"PassManager.add_func: {function!r} cannot be called")
        return self.add(FunctionPass(function, name))

    def run(self, workload: Workload | WorkloadFunction, verbose: bool = False) -> Workload:
        """The workload that all passes make of `workload`.

        Parameters
        ----------
        workload : Workload or function decorated with ``@workload``
            The latter is called without arguments.
        verbose : bool
            Print a line for each pass: its name, tasks before and after, and what its rules did.

        Raises
        ------
        TypeCheckError
            No workload, or a pass that returned none.
        """
        now = _workload_of(workload, "PassManager.run")
        for each in self._passes:
            before = now
            now = each.run(before)
            if not isinstance(now, Workload):
                raise error(
                    TypeCheckError, f"pass {_name_of(each)} returned no workload but {now!r}"
                )
            if verbose:
                print(f"{_name_of(each)}: {before.task_count} tasks -> {now.task_count}")
                for reason in getattr(each, "reasons", []):
                    print(f"  {reason}")
        return now

    def __len__(self) -> int:
        return len(self._passes)

    def __iter__(self) -> Iterator[Pass]:
        return iter(self._passes)


#: Gives what takes the place of a node, or None to keep it.
Rewrite = Callable[[native.WorkloadNode], native.WorkloadNode | None]


class PatternRewriter(Pass):
    """Applies rules of one's own to the nodes of a workload, inner ones first, until none fires.

    A rule is a kind of node, or a function that says which nodes are meant, and a function that
    gives what takes the place of such a node. A node has `kind` (``"task"``, ``"parallel"``,
    ``"seq"``, ``"pipe"``, ``"sel"``, ``"combine"``, ``"sequential"``, ``"call"``, ``"when"``,
    ``"slot"``, ``"value"`` for a variable that stands for an expression, and those of processes;
    all are in ``WorkloadNode.kinds``),
    `children`, `kernel` (the name), `variable`, `axis` and `task_count` (None when runs decide);
    ``node.with_children([...])`` is the node with others, and
    ``WorkloadNode.combine([...])``, ``WorkloadNode.sequential([...])`` are groups.

    Nothing checks that a rule keeps the meaning: that is its author's business.

    Examples
    --------
    >>> rewriter = PatternRewriter()
    >>> rewriter.add("combine", lambda n: n.children[0] if len(n.children) == 1 else None)
    >>> simpler = rewriter.run(workload)
    """

    #: Rounds after which rules are taken to fire in a cycle.
    max_rounds = 100

    def __init__(
        self, rules: Sequence[tuple[str | Callable[[native.WorkloadNode], bool], Rewrite]] = ()
    ) -> None:
        self._rules: list[tuple[str | Callable[[native.WorkloadNode], bool], Rewrite]] = []
        for pattern, rewrite in rules:
            self.add(pattern, rewrite)
        #: How often rules fired in the last run.
        self.fired = 0

    def add(
        self, pattern: str | Callable[[native.WorkloadNode], bool], rewrite: Rewrite
    ) -> PatternRewriter:
        """Adds a rule.

        Raises
        ------
        TypeCheckError
            `pattern` is neither a kind nor a function, or `rewrite` no function.
        """
        if isinstance(pattern, str) and pattern not in native.WorkloadNode.kinds:
            raise error(
                TypeCheckError,
                f"PatternRewriter.add: unknown kind {pattern!r}",
                hint=f"kinds: {', '.join(native.WorkloadNode.kinds)}",
            )
        if not (isinstance(pattern, str) or callable(pattern)) or not callable(rewrite):
            raise error(
                TypeCheckError,
                "PatternRewriter.add: takes a kind or a function, and a function",
            )
        self._rules.append((pattern, rewrite))
        return self

    def run(self, workload: Workload) -> Workload:
        """The workload with the rules applied.

        Raises
        ------
        TypeCheckError
            A rule gave something else than a node, or rules fire without end.
        """
        workload = _workload_of(workload, "PatternRewriter.run")
        self.fired = 0
        root = workload._native.root
        for _ in range(self.max_rounds):
            before = self.fired
            root = self._rewritten(root)
            if self.fired == before:
                return workload._rewritten(workload._native.with_root(root))
        raise error(
            TypeCheckError,
            f"PatternRewriter: rules still fire after {self.max_rounds} rounds, "
            f"{self.fired} times by now",
            hint="a rule undoes another one, or matches what it makes",
        )

    def _rewritten(self, node: native.WorkloadNode) -> native.WorkloadNode:
        children = node.children
        made = [self._rewritten(child) for child in children]
        if any(new is not old for new, old in zip(made, children, strict=True)):
            node = node.with_children(made)
        for pattern, rewrite in self._rules:
            fits = node.kind == pattern if isinstance(pattern, str) else pattern(node)
            other = rewrite(node) if fits else None
            if other is None or other is node:
                continue
            if not isinstance(other, native.WorkloadNode):
                raise error(TypeCheckError, f"PatternRewriter: a rule gave no node but {other!r}")
            self.fired += 1
            node = other
        return node


def _name_of(each: Any) -> str:
    return str(getattr(each, "name", type(each).__name__))


def _workload_of(workload: Any, what: str) -> Workload:
    if isinstance(workload, WorkloadFunction):
        workload = workload._default()
    if not isinstance(workload, Workload):
        raise error(TypeCheckError, f"{what}: {workload!r} is no workload")
    if workload.type_errors:
        raise workload.type_errors[0]
    return workload
