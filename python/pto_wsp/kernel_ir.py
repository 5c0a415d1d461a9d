"""Traced kernels as users see them."""

from __future__ import annotations

import dataclasses

import pto_wsp._pto_wsp as native


class KernelIR:
    """A traced kernel: its operations on whole tiles.

    Attributes
    ----------
    ops : list of Op
        In program order, those in loop bodies too; ``str(op)`` is the line of the text.
    params : list of native parameters
        With ``name``, ``direction`` and ``type``.
    """

    def __init__(self, program: native.TileProgram) -> None:
        self._program = program

    @property
    def name(self) -> str:
        """The kernel's name."""
        return self._program.name

    @property
    def params(self) -> list[native.Param]:
        """The parameters, in order."""
        return self._program.params

    @property
    def ops(self) -> list[Op]:
        """The operations, in program order."""
        lines = [line.strip() for line in str(self._program).splitlines()]
        return [Op(name, line) for line in lines[1:-1] if (name := _op_name(line)) is not None]

    def dump(self) -> str:
        """The text of the tile program, which parses back."""
        return str(self._program)

    def hash(self) -> str:
        """Content hash of the text without the kernel's name."""
        return self._program.hash()

    def __str__(self) -> str:
        return self.dump()

    def __repr__(self) -> str:
        return f"<KernelIR {self.name}: {len(self.ops)} operations>"


@dataclasses.dataclass(frozen=True)
class Op:
    """One operation of a traced kernel."""

    name: str
    text: str

    def __str__(self) -> str:
        return self.text


_op_names = {row.name for row in native.ops()}


def _op_name(line: str) -> str | None:
    words = line.partition(" = ")[2].split() if line.startswith("%") else line.split()
    return words[0] if words and words[0] in _op_names else None
