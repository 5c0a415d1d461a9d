"""What each primitive of the tile language does on each element type, and how exactly."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pto_wsp._pto_wsp as native
from pto_wsp.dtypes import DType, dtype_of
from pto_wsp.errors import TypeCheckError, error


@dataclass(frozen=True)
class Cell:
    """One primitive on one element type.

    Attributes
    ----------
    primitive : str
    dtype : DType
    policy : str
        ``exact`` (NumPy's bits), ``rounded`` (the nearest number), ``ulps`` (at most `ulps`
        units of the last place), ``sum`` and ``product`` (n terms in any order: n units of the last
        place of the sum of their magnitudes), ``row`` (n columns: n + `ulps`), or ``refused``.
    ulps : int
    refusal : str
        The error of a refused type, else empty.
    text : str
        All of it in words: ``<= 2 ulp``.
    """

    primitive: str
    dtype: DType
    policy: str
    ulps: int
    refusal: str
    text: str

    @property
    def accepted(self) -> bool:
        """False when the primitive refuses the type."""
        return not self.refusal

    @property
    def short(self) -> str:
        """The cell of the printed table."""
        if not self.accepted:
            return "-"
        text = self.text.removeprefix("correctly ").removeprefix("<= ")
        return text.split(" of ")[0].replace(" + ", "+")


class Coverage(Mapping[str, tuple[Cell, ...]]):
    """The matrix of primitives and element types; prints as a table.

    A mapping of a primitive's name to its cells, in the order of `dtypes`.
    """

    def __init__(self, cells: list[Cell]) -> None:
        rows: dict[str, list[Cell]] = {}
        for cell in cells:
            rows.setdefault(cell.primitive, []).append(cell)
        self._rows = {name: tuple(row) for name, row in rows.items()}

    @property
    def dtypes(self) -> tuple[DType, ...]:
        """The element types: the columns of the matrix."""
        return tuple(DType)

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All cells, row by row."""
        return tuple(cell for row in self._rows.values() for cell in row)

    def cell(self, primitive: str, dtype: Any) -> Cell:
        """The cell of `primitive` on `dtype`.

        Raises
        ------
        TypeCheckError
            There is no such primitive or element type.
        """
        wanted = dtype_of(dtype)
        if primitive not in self._rows:
            near = native.nearest_name(primitive, list(self._rows))
            raise error(
                TypeCheckError,
                f"coverage: there is no primitive '{primitive}'",
                hint=f"did you mean '{near}'?" if near else "",
            )
        return next(cell for cell in self._rows[primitive] if cell.dtype is wanted)

    def __getitem__(self, primitive: str) -> tuple[Cell, ...]:
        return self._rows[primitive]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def _refusals(self) -> list[tuple[str, str]]:
        """Each refused primitive with its types and why."""
        found = []
        for name, row in self._rows.items():
            refused = [cell for cell in row if not cell.accepted]
            if refused:
                types = " ".join(cell.dtype.name for cell in refused)
                found.append((f"{name} {types}", refused[0].refusal))
        return found

    def __repr__(self) -> str:
        names = [len(name) for name in self._rows]
        shown = [len(cell.short) for cell in self.cells]
        first, width = max(names) + 2, max(shown) + 2
        lines = ["".ljust(first) + "".join(dtype.name.ljust(width) for dtype in self.dtypes)]
        lines += [
            name.ljust(first) + "".join(cell.short.ljust(width) for cell in row)
            for name, row in self._rows.items()
        ]
        lines += ["", *_legend, "", "refused (-), as on the first of the types:"]
        lines += [f"  {what}: {why}" for what, why in self._refusals()]
        return "\n".join(line.rstrip() for line in lines)

    def _repr_html_(self) -> str:
        def row(name: str, texts: list[tuple[str, str]], tag: str) -> str:
            shown = "".join(
                f'<{tag} title="{html.escape(why)}">{html.escape(text)}</{tag}>'
                for text, why in texts
            )
            return f"<tr><th>{html.escape(name)}</th>{shown}</tr>"

        head = row("", [(dtype.name, "") for dtype in self.dtypes], "th")
        body = "".join(
            row(name, [(cell.short, cell.refusal or cell.text) for cell in cells], "td")
            for name, cells in self._rows.items()
        )
        notes = "<br>".join(html.escape(line) for line in _legend)
        return f"<table>{head}{body}</table><p>{notes}</p>"


_legend = (
    "exact: NumPy's bits. rounded: the nearest number, ties to even. 2 ulp: off by at most 2 units",
    "of the last place of the result's type. n, k ulp: that many terms are added in any order, and",
    "units are of the sum of their magnitudes. F16 and BF16 compute in F32 and round once.",
)


def coverage() -> Coverage:
    """The primitives of the tile language on every element type: exact, within how many units of
    the last place, or refused and why. Found by asking each primitive.

    Returns
    -------
    Coverage
        A table that prints; ``coverage().cell("exp", DType.F32).ulps`` is 2.
    """
    return Coverage(
        [
            Cell(
                made.primitive,
                DType(made.dtype.value),
                "refused" if made.refusal else made.kind.name.lower(),
                made.ulps,
                made.refusal,
                str(made),
            )
            for made in native.coverage()
        ]
    )
