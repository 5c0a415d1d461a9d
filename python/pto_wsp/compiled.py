"""Kernels compiled for themselves: functions of arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pto_wsp._pto_wsp as native
from pto_wsp.annotations import DirectedSpec, ScalarSpec, TileSpec
from pto_wsp.dtypes import DType
from pto_wsp.errors import CompileError, TypeCheckError, error
from pto_wsp.kernels import KernelRef, kernel_schedule, tile_of_shape
from pto_wsp.tensor import Tensor


class CompiledKernel:
    """A kernel as a function of arrays: ``compiled(x, y, out)``.

    Arrays are used in place, with any strides. A parameter annotated with `Tensor` takes the
    trailing two dimensions of what it is given; the code for a new shape is made at the call.
    """

    def __init__(
        self,
        kernel: KernelRef,
        target: str,
        schedule: Any,
        blocks: Mapping[str, int],
        symbols: Mapping[str, int],
        constants: Mapping[str, Any],
        tiles: Mapping[str, TileSpec],
    ) -> None:
        self._kernel = kernel
        self._constants = constants
        self._tiles = tiles
        self._symbols = dict(symbols)
        self._made: dict[Any, native.CompiledKernel] = {}
        self._options = native_kernel_options(target, schedule, blocks)
        self._last: native.CompiledKernel | None = None
        if kernel.is_declaration:
            raise error(
                CompileError,
                f"kernel '{kernel.name}' has an empty body: there is nothing to compile",
            )
        open_tiles = [
            name
            for name in kernel.signature.runtime
            if isinstance(spec := kernel.signature[name].spec, DirectedSpec)
            and spec.tile is None
            and name not in tiles
        ]
        if not open_tiles and set(self._symbols) >= set(kernel._symbols()):
            self._compile(tiles, self._symbols)

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        """Runs it on the calling thread.

        Raises
        ------
        TypeCheckError
            A missing or extra argument, or an array of another shape or type than the parameter.
        """
        signature = self._kernel.signature
        fixed = {
            name: self._constants[name]
            for name in signature.constexprs
            if name in self._constants and name not in kwargs
        }
        bound = signature.bind(args, {**kwargs, **fixed})
        for name in signature.constexprs:
            if bound[name] != self._kernel._with_defaults(self._constants)[name]:
                raise error(
                    TypeCheckError,
                    f"kernel '{self._kernel.name}': '{name}' was compiled as "
                    f"{self._kernel._with_defaults(self._constants)[name]!r}, got {bound[name]!r}",
                    hint=f"compile it again: {self._kernel.name}.compile({name}={bound[name]!r})",
                )
        values = [run_argument(self._kernel, name, bound[name]) for name in signature.runtime]
        tiles = dict(self._tiles)
        for name, value in zip(signature.runtime, values):
            spec = signature[name].spec
            if isinstance(spec, DirectedSpec) and spec.tile is None and name not in self._tiles:
                tiles[name] = tile_of_shape(value.shape, value.dtype)
        self._compile(tiles, self._symbols_of(values))(values)

    @property
    def code(self) -> str:
        """The lowered statements."""
        return self._compiled().code

    @property
    def loop_nest(self) -> str:
        """The loops, as text."""
        return self._compiled().loop_nest()

    @property
    def schedule(self) -> native.KernelSchedule:
        """The steps that were applied: the default ones unless others were given."""
        return self._compiled().schedule

    def explain(self) -> list[native.Reason]:
        """Rules that fired or not, cache misses, and why."""
        return self._compiled().explain()

    def __repr__(self) -> str:
        return f"<CompiledKernel {self._kernel.name}{self._kernel.signature}>"

    def _compiled(self) -> native.CompiledKernel:
        if self._last is None:
            raise error(
                CompileError,
                f"kernel '{self._kernel.name}': there is no code before the first call, which has "
                "the tile types",
                hint="give the types to compile: "
                + ", ".join(
                    f"{name}=Tile[rows, cols, dtype]" for name in self._kernel.signature.runtime
                ),
            )
        return self._last

    def _compile(
        self, tiles: Mapping[str, TileSpec], symbols: Mapping[str, int]
    ) -> native.CompiledKernel:
        key = (tuple(tiles.items()), tuple(symbols.items()))
        if key not in self._made:
            program = self._kernel.specialise(self._constants, tiles).program
            assert program is not None
            self._made[key] = native.compile_kernel(program, self._options(symbols))
        self._last = self._made[key]
        return self._last

    def _symbols_of(self, values: Sequence[Any]) -> dict[str, int]:
        """The Symbols that were given, and those that are a dim by themselves, from the arrays."""
        found = dict(self._symbols)
        for name, value in zip(self._kernel.signature.runtime, values):
            spec = self._kernel.signature[name].spec
            if not isinstance(spec, DirectedSpec) or spec.tile is None:
                continue
            shape = [1, *value.shape][-2:]
            for dim, size in zip((spec.tile.rows, spec.tile.cols), shape):
                if dim.constant == 0 and list(dim.terms.values()) == [1]:
                    symbol = next(iter(dim.terms))
                    if symbol not in self._kernel.signature.constexprs:
                        found.setdefault(symbol, size)
        return {name: found[name] for name in sorted(found)}


def native_kernel_options(
    target: str, schedule: Any, blocks: Mapping[str, int]
) -> Callable[[Mapping[str, int]], native.KernelOptions]:
    """The options of a kernel's compilation, but for its Symbols."""
    steps = None if schedule is None else kernel_schedule(schedule)

    def options(symbols: Mapping[str, int]) -> native.KernelOptions:
        return native.KernelOptions(
            target=target,
            schedule=steps,
            block_m=blocks.get("BLOCK_M", 0),
            block_n=blocks.get("BLOCK_N", 0),
            block_k=blocks.get("BLOCK_K", 0),
            symbols=dict(symbols),
        )

    return options


def run_argument(kernel: KernelRef, name: str, value: Any) -> Any:
    """What the native kernel takes for parameter `name`: a view or a number."""
    spec = kernel.signature[name].spec
    if isinstance(spec, ScalarSpec):
        if isinstance(value, bool) or not hasattr(value, "__float__"):
            raise error(
                TypeCheckError,
                f"kernel '{kernel.name}': '{name}: {spec!r}' needs a number, got {value!r}",
            )
        if spec.dtype.is_float:
            return float(value)
        if not hasattr(value, "__index__"):
            raise error(
                TypeCheckError,
                f"kernel '{kernel.name}': '{name}: {spec!r}' needs an integer, got {value!r}",
            )
        return value.__index__()
    assert isinstance(spec, DirectedSpec)
    writes = spec.direction != native.Direction.In
    tensor = value if isinstance(value, Tensor) else _wrap(kernel, name, spec, value)
    if writes and not tensor.writeable:
        raise error(
            TypeCheckError,
            f"kernel '{kernel.name}': '{name}: {spec!r}' is written but its array is read-only",
        )
    return tensor.view


def _wrap(kernel: KernelRef, name: str, spec: DirectedSpec, value: Any) -> Tensor:
    if not Tensor.accepts(value):
        raise error(
            TypeCheckError,
            f"kernel '{kernel.name}': '{name}: {spec!r}' needs an array, got "
            f"{type(value).__name__}",
            hint="pass a NumPy array, a Tensor or an object with the buffer protocol or __dlpack__",
        )
    wanted = spec.tile.dtype if spec.tile is not None else None
    # BF16 has no type of its own in NumPy: uint16 stands for it where BF16 is expected.
    as_bfloat = wanted is DType.BF16 and getattr(value, "dtype", None) == DType.BF16.numpy
    return Tensor(value, dtype=DType.BF16 if as_bfloat else None)
