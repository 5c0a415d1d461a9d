"""The tasks of a program and what orders them."""

from __future__ import annotations

import pto_wsp._pto_wsp as native


class GraphTask:
    """A task of a graph, or a join: a point that ends one item of a sequence and begins the next.

    Attributes
    ----------
    number : int
        Its place in the graph.
    id : int or None
        The number of the task in program order; None for a join.
    kernel : str
        The name of the kernel; ``join``.
    indices : dict of str to int
        The values of the loop variables around it.
    at : tuple of str and int
        File and line of the call.
    """

    def __init__(self, number: int, made: native.GraphVertex) -> None:
        self.number = number
        self.id = None if made.task < 0 else made.task
        self.kernel = made.name
        self.indices = dict(made.indices)
        self.at = made.at
        self._text = str(made)

    def __repr__(self) -> str:
        return self._text


class GraphEdge:
    """`source` runs before `target`.

    Attributes
    ----------
    source, target : GraphTask
    cause : str
        ``RAW``, ``WAR``, ``WAW`` (read after write, ...), ``sequence`` or ``lane``.
    on : str
        What they share: the region of the later task, the loop, the lane.
    """

    def __init__(self, source: GraphTask, target: GraphTask, made: native.GraphEdge) -> None:
        self.source = source
        self.target = target
        self.cause = made.cause
        self.on = made.on
        self._text = str(made)

    @property
    def reason(self) -> str:
        """``RAW on C[1, 0:4, 0:16]``."""
        return self._text

    def __repr__(self) -> str:
        return f"<{self.source!r} before {self.target!r}: {self._text}>"


class TaskGraph:
    """The tasks of a program and what orders them.

    Of two tasks one runs before the other exactly when there is a path of edges between them; an
    order that follows from others may have no edge of its own. Prints as its size; notebooks draw
    it.
    """

    def __init__(self, made: native.TaskGraph) -> None:
        self._native = made
        self.vertices = [GraphTask(number, each) for number, each in enumerate(made.vertices)]
        self.edges = [
            GraphEdge(self.vertices[each.source], self.vertices[each.target], each)
            for each in made.edges
        ]

    @property
    def tasks(self) -> list[GraphTask]:
        """The tasks in program order, without joins."""
        return [vertex for vertex in self.vertices if vertex.id is not None]

    def to_dot(self) -> str:
        """Text for Graphviz."""
        return self._native.dot()

    def to_svg(self) -> str:
        """A drawing that needs nothing else; reasons are tooltips of its lines."""
        return self._native.svg()

    def _repr_svg_(self) -> str:
        return self.to_svg()

    def __len__(self) -> int:
        return len(self.tasks)

    def __repr__(self) -> str:
        return f"<TaskGraph: {len(self)} tasks, {len(self.edges)} edges>"
