"""Where elements of a tensor lie in memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pto_wsp._pto_wsp as native
from pto_wsp.errors import TypeCheckError, error


class MemLayout:
    """How the elements of a tensor lie in memory: coordinates times strides, then a swizzle, then
    `pack` elements in one unit of storage.

    Parameters
    ----------
    strides : sequence of int
        One for each dimension, in elements.
    order : sequence of int, optional
        The dimensions, slowest first; by default by descending stride, which it must not
        contradict.
    swizzle : (bits, base, shift), optional
        Units of ``2**base`` elements whose number is changed by XOR with the `bits` bits that lie
        `shift` bits above, see `LinearLayout.swizzle`.
    pack : int
        Elements in one unit of storage.
    shape : sequence of int, optional
        The extents, where they are known.

    Raises
    ------
    CompileError
        A negative stride, an order that is no permutation or contradicts the strides.
    """

    __slots__ = ("_native",)

    def __init__(
        self,
        strides: Iterable[int],
        order: Iterable[int] | None = None,
        swizzle: tuple[int, int, int] | None = None,
        pack: int = 1,
        shape: Iterable[int] | None = None,
    ) -> None:
        bits = None if swizzle is None else _integers("MemLayout", "swizzle", swizzle)
        if bits is not None and len(bits) != 3:
            raise error(
                TypeCheckError, f"MemLayout: swizzle is {swizzle!r}, not (bits, base, shift)"
            )
        self._native = native.MemLayout(
            _integers("MemLayout", "strides", strides),
            None if order is None else _integers("MemLayout", "order", order),
            None if bits is None else (bits[0], bits[1], bits[2]),
            _integers("MemLayout", "pack", (pack,))[0],
            None if shape is None else _integers("MemLayout", "shape", shape),
        )

    @classmethod
    def _of(cls, made: native.MemLayout) -> MemLayout:
        layout = cls.__new__(cls)
        layout._native = made
        return layout

    @classmethod
    def row_major(cls, shape: Iterable[int]) -> MemLayout:
        """The last dimension contiguous."""
        return cls._of(native.MemLayout.row_major(_integers("MemLayout", "shape", shape)))

    @classmethod
    def col_major(cls, shape: Iterable[int]) -> MemLayout:
        """The first dimension contiguous."""
        return cls._of(native.MemLayout.col_major(_integers("MemLayout", "shape", shape)))

    def permute(self, permutation: Iterable[int]) -> MemLayout:
        """The dimensions in another order, as ``np.transpose(array, permutation)`` has them."""
        return self._of(self._native.permute(_integers("permute", "permutation", permutation)))

    def compose(self, outer: MemLayout) -> MemLayout:
        """First this layout, then `outer` on its places.

        Raises
        ------
        CompileError
            The result has no strides, a shape that is needed is not known, or this layout swizzles
            or packs.
        """
        if not isinstance(outer, MemLayout):
            raise error(TypeCheckError, f"compose: {outer!r} is no MemLayout")
        return self._of(self._native.compose(outer._native))

    def tile(self, tile: Iterable[int]) -> MemLayout:
        """The same memory seen as tiles: a dimension for the number of the tile and one for the
        place in it, of each; all the numbers first."""
        return self._of(self._native.tile(_integers("tile", "tile", tile)))

    def place(self, coordinates: Iterable[int]) -> int:
        """Elements from the start of the memory to the one at `coordinates`."""
        return self._native.place(_integers("place", "coordinates", coordinates))

    def linear(self) -> LinearLayout:
        """The same layout over bits, for a shape and strides of powers of two."""
        return LinearLayout._of(self._native.linear())

    @property
    def strides(self) -> tuple[int, ...]:
        """Of each dimension, in elements."""
        return tuple(self._native.strides)

    @property
    def order(self) -> tuple[int, ...]:
        """The dimensions, slowest first."""
        return tuple(self._native.order)

    @property
    def swizzle(self) -> tuple[int, int, int] | None:
        """``(bits, base, shift)``."""
        return self._native.swizzle

    @property
    def pack(self) -> int:
        """Elements in one unit of storage."""
        return self._native.pack

    @property
    def shape(self) -> tuple[int, ...] | None:
        """The extents, where they are known."""
        found = self._native.shape
        return None if found is None else tuple(found)

    @property
    def rank(self) -> int:
        """Number of dimensions."""
        return len(self._native.strides)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MemLayout) and self._native == other._native

    def __hash__(self) -> int:
        return hash(str(self._native))

    def __repr__(self) -> str:
        return str(self._native)


class LinearLayout:
    """A layout that is linear over F2: a map from the index of an element (row-major in `shape`) to
    its place, both as vectors of bits, with ``f(a ^ b) == f(a) ^ f(b)``.

    Parameters
    ----------
    shape : sequence of int
        Extents, powers of two.
    bases : sequence of int
        The places of the indices 1, 2, 4, ...
    places : int
        Number of places, a power of two.

    Raises
    ------
    CompileError
        Another number than a power of two, or of bases; a basis out of range.

    Examples
    --------
    >>> from pto_wsp import LinearLayout
    >>> tiles = LinearLayout.blocked((4, 8), (2, 4))
    >>> tiles.apply(1, 0)
    4
    >>> LinearLayout.swizzle(32, bits=1, base=0, shift=2).compose(tiles).is_injective()
    True
    """

    __slots__ = ("_native",)

    def __init__(self, shape: Iterable[int], bases: Iterable[int], places: int) -> None:
        self._native = native.LinearLayout(
            _integers("LinearLayout", "shape", shape),
            _integers("LinearLayout", "bases", bases),
            _integers("LinearLayout", "places", (places,))[0],
        )

    @classmethod
    def _of(cls, made: native.LinearLayout) -> LinearLayout:
        layout = cls.__new__(cls)
        layout._native = made
        return layout

    @classmethod
    def identity(cls, size: int) -> LinearLayout:
        """``i -> i``."""
        return cls.row_major((size,))

    @classmethod
    def row_major(cls, shape: Iterable[int]) -> LinearLayout:
        """The last coordinate fastest."""
        return cls._of(native.LinearLayout.row_major(_integers("row_major", "shape", shape)))

    @classmethod
    def col_major(cls, shape: Iterable[int]) -> LinearLayout:
        """The first coordinate fastest."""
        return cls._of(native.LinearLayout.col_major(_integers("col_major", "shape", shape)))

    @classmethod
    def from_strides(cls, shape: Iterable[int], strides: Iterable[int]) -> LinearLayout:
        """The sum of coordinate times stride; strides are 0 or powers of two that share no bit."""
        extents = _integers("from_strides", "shape", shape)
        steps = _integers("from_strides", "strides", strides)
        return cls._of(native.LinearLayout.from_strides(extents, steps))

    @classmethod
    def strided(cls, size: int, stride: int) -> LinearLayout:
        """``i -> i * stride``."""
        return cls.from_strides((size,), (stride,))

    @classmethod
    def blocked(cls, shape: Iterable[int], block: Iterable[int]) -> LinearLayout:
        """Blocks one after another, row-major inside and among each other."""
        extents = _integers("blocked", "shape", shape)
        return cls._of(native.LinearLayout.blocked(extents, _integers("blocked", "block", block)))

    @classmethod
    def swizzle(cls, size: int, bits: int, base: int, shift: int) -> LinearLayout:
        """Units of ``2**base`` places, each moved by XOR with the `bits` bits that lie `shift` bits
        above those of its own number; its own inverse when ``shift >= bits``."""
        numbers = _integers("swizzle", "size, bits, base, shift", (size, bits, base, shift))
        return cls._of(native.LinearLayout.swizzle(*numbers))

    def compose(self, inner: LinearLayout) -> LinearLayout:
        """First `inner`, then this: ``f.compose(g).apply(i) == f.apply(g.apply(i))``."""
        if not isinstance(inner, LinearLayout):
            raise error(TypeCheckError, f"compose: {inner!r} is no LinearLayout")
        return self._of(self._native.compose(inner._native))

    def apply(self, *coordinates: int) -> int:
        """The place of an index, or of one coordinate for each dimension of the shape."""
        return self._native.apply(_integers("apply", "coordinates", coordinates))

    def inverse(self) -> LinearLayout:
        """From place to index; CompileError unless it is bijective."""
        return self._of(self._native.inverse())

    def rank(self) -> int:
        """Dimension of the image."""
        return self._native.rank()

    def kernel(self) -> list[int]:
        """A basis of the indices that go to place 0."""
        return self._native.kernel()

    def is_injective(self) -> bool:
        """True when no two indices have one place."""
        return self._native.is_injective()

    def is_surjective(self) -> bool:
        """True when every place has an index."""
        return self._native.is_surjective()

    @property
    def shape(self) -> tuple[int, ...]:
        """The extents."""
        return tuple(self._native.shape)

    @property
    def bases(self) -> tuple[int, ...]:
        """The places of the indices 1, 2, 4, ..."""
        return tuple(self._native.bases)

    @property
    def size(self) -> int:
        """Number of indices."""
        return self._native.size

    @property
    def places(self) -> int:
        """Number of places."""
        return self._native.places

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LinearLayout) and self._native == other._native

    def __hash__(self) -> int:
        return hash(str(self._native))

    def __repr__(self) -> str:
        return str(self._native)


def _integers(what: str, name: str, given: Any) -> list[int]:
    values = list(given) if isinstance(given, Iterable) else [given]
    for value in values:
        whole = hasattr(value, "__index__") and not isinstance(value, bool)
        if not whole or abs(int(value)) >= 2**63:
            raise error(TypeCheckError, f"{what}: {name} holds {value!r}, which is no integer")
    return [int(value) for value in values]
