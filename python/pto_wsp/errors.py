"""The errors of the package: one class for each kind, each also the built-in one would catch.

``str(error)`` reads ``file.py:41: error: matmul: inner dimensions differ: [128, 64] x [256, 64]``,
then a line for each note, then a hint.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import pto_wsp._pto_wsp as native

Place = tuple[str, int]


class PtoError(Exception):
    """Base of all errors of the package.

    Attributes
    ----------
    at : tuple of str and int, or None
        File and line of the user's code.
    text : str
        The first line without the place.
    notes : tuple of (place, text)
        Other places that explain it: where an operand was made, where an axis was declared.
    hint : str
        What would be legal, or empty.
    """

    at: Place | None = None
    text: str = ""
    notes: tuple[tuple[Place, str], ...] = ()
    hint: str = ""


class CompileError(PtoError, ValueError):
    """The program is wrong; found while it is built or compiled."""


class TypeCheckError(CompileError, TypeError):
    """A shape, dtype, direction or bound does not fit."""


class IRConversionError(CompileError):
    """A text or structure is not valid IR."""


class LayoutIncompatibleError(TypeCheckError):
    """Two layouts that cannot be joined without moving data."""


class ScheduleError(PtoError, ValueError):
    """A schedule step is not legal here."""


class ExecutionError(PtoError, RuntimeError):
    """Something failed while the program ran."""


class KernelError(ExecutionError):
    """Kernels of tasks failed; the text is that of the first in program order.

    Attributes
    ----------
    kernel : str
        Name of the kernel; empty where what makes tasks failed.
    indices : dict of str to int
        Values of the task's loop variables, outermost first; empty where they are not known.
    errors : tuple of KernelError
        All tasks that failed, in program order, this one included; the first 1024 in time.
    """

    kernel: str = ""
    indices: Mapping[str, int] = MappingProxyType({})
    errors: tuple[KernelError, ...] = ()


class CancelledError(ExecutionError):
    """A run was cancelled before all of its tasks had run."""


class EventTimeoutError(ExecutionError, TimeoutError):
    """Nobody came to an event in time."""


class NotAvailableError(ExecutionError, AttributeError):
    """An attribute that this version or target does not have yet."""


class ChannelError(PtoError, RuntimeError):
    """A channel was used in a way it does not allow."""


class ChannelClosed(ChannelError):
    """Nothing more comes through this channel."""


class ChannelFull(ChannelError):
    """The channel has no room for another token.

    For code of your own that feeds channels: `send` waits for room, and `try_send` gives 0 where
    there is none, so nothing of this package raises it.
    """


class InternalError(PtoError, RuntimeError):
    """A fault of the package itself; please report it."""


class SlotWarning(UserWarning):
    """A slot is read before anything in the workload fills it."""


class RaceWarning(UserWarning):
    """Iterations of a parallel loop write one region, and nothing reads it between."""


def error(
    kind: type[PtoError],
    text: str,
    *,
    at: Place | None = None,
    notes: tuple[tuple[Place, str], ...] = (),
    hint: str = "",
) -> PtoError:
    """An error of class `kind` at the user's line (or at `at`), in the one format of all errors."""
    made: PtoError = native.make_error(kind.__name__, text, at, list(notes), hint)
    return made


class at_user_line:
    """Errors of its ``with`` body stand at the user's line, with `what` before their text: for
    texts that are parsed and memory that is allocated, which have no line of their own."""

    def __init__(self, what: str = "", *, notes: tuple[tuple[Place, str], ...] = ()) -> None:
        self._what = what
        self._notes = notes

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, cause: BaseException | None, _: object
    ) -> None:
        if isinstance(cause, PtoError):
            notes = (*cause.notes, *self._notes)
            text = self._what + cause.text
            raise error(type(cause), text, notes=notes, hint=cause.hint) from None


def user_place() -> Place:
    """File and line of the innermost frame outside the package."""
    return native.user_loc()
