"""Iteration spaces."""

from __future__ import annotations

from typing import Any

from pto_wsp.errors import TypeCheckError, error


class _DenseType(type):
    def __getitem__(cls, size: Any) -> Dense:
        return Dense(size)


class Dense(metaclass=_DenseType):
    """An axis of known size. ``Dense[4]``, ``Dense[4]()`` and ``Dense(4)`` are equal.

    Parameters
    ----------
    size : int
        Number of iterations, >= 0.
    """

    __slots__ = ("size",)

    def __init__(self, size: int) -> None:
        if not hasattr(size, "__index__") or isinstance(size, bool):
            raise error(
                TypeCheckError, f"Dense: size must be an integer, got {size!r}", hint="Dense[4]"
            )
        self.size = size.__index__()
        if self.size < 0:
            raise error(TypeCheckError, f"Dense: size must be >= 0, got {self.size}")
        if self.size >= 2**63:
            raise error(TypeCheckError, f"Dense: size {self.size} does not fit 64 bits")

    def __call__(self) -> Dense:
        return self

    def __len__(self) -> int:
        return self.size

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dense) and other.size == self.size

    def __hash__(self) -> int:
        return hash((Dense, self.size))

    def __repr__(self) -> str:
        return f"Dense[{self.size}]"
