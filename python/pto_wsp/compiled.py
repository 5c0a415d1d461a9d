"""Kernels compiled for themselves: functions of arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pto_wsp._pto_wsp as native
from pto_wsp.annotations import DirectedSpec, ScalarSpec, TileSpec
from pto_wsp.compile_options import kernel_schedule, target_name, tile_of_shape
from pto_wsp.dtypes import DType
from pto_wsp.errors import CompileError, TypeCheckError, error
from pto_wsp.kernel_refs import KernelRef
from pto_wsp.scalars import number_of
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
        self._symbols = symbols
        self._made: dict[Any, tuple[native.TileProgram, native.CompiledKernel]] = {}
        self._options = native.KernelOptions(
            target=target_name(target),
            schedule=None if schedule is None else kernel_schedule(schedule),
            block_m=blocks.get("BLOCK_M", 0),
            block_n=blocks.get("BLOCK_N", 0),
            block_k=blocks.get("BLOCK_K", 0),
            symbols=symbols,
        )
        self._last: native.CompiledKernel | None = None
        if kernel.is_declaration:
            raise error(
                CompileError,
                f"kernel '{kernel.name}' has an empty body: there is nothing to compile",
            )
        self._signature = kernel.signature.without_constants()
        if all(name in tiles for name in self._signature if self._signature[name].takes_any_tile):
            self._of_tiles(tiles)

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        """Runs it on the calling thread.

        Raises
        ------
        TypeCheckError
            A missing or extra argument, or an array of another shape or type than the parameter.
        """
        bound = self._signature.bind(args, kwargs)
        values = {name: run_argument(self._kernel, name, value) for name, value in bound.items()}
        tiles = dict(self._tiles)
        for name, parameter in self._signature.items():
            if name not in tiles and parameter.takes_any_tile:
                tiles[name] = tile_of_shape(values[name].shape, values[name].dtype)
        program, compiled = self._of_tiles(tiles)
        self._check_whole(program, values)
        compiled([value.view if isinstance(value, Tensor) else value for value in values.values()])

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
                    f"{name}=Tile[rows, cols, dtype]"
                    for name, parameter in self._signature.items()
                    if parameter.takes_any_tile
                ),
            )
        return self._last

    def _check_whole(self, program: native.TileProgram, values: Mapping[str, Any]) -> None:
        """Refuses what is smaller than its parameter without saying so; the rest is checked
        natively."""
        symbols = dict(self._symbols)
        params = [param for param in program.params if param.is_tile]
        for param in params:
            for dim, extent in _dims(param, values[param.name]):
                name = next(iter(dim.terms), None)
                if name is not None and dim == native.Affine.variable(name):
                    symbols.setdefault(name, extent)
        known = {name: native.Affine(value) for name, value in symbols.items()}
        for param in params:
            tensor = values[param.name]
            dims = [
                (dim.substitute(known), extent) for dim, extent in _dims(param, values[param.name])
            ]
            small = any((dim.as_constant() or 0) > extent for dim, extent in dims)
            if small and not tensor.is_partial and tensor.ndim <= 2:
                (rows, _), (cols, _) = dims
                declared = TileSpec(param.type.rows, param.type.columns, tensor.dtype)
                wanted = TileSpec(rows, cols, tensor.dtype)
                raise error(
                    TypeCheckError,
                    f"kernel '{self._kernel.name}': '{param.name}' is {list(tensor.shape)}, "
                    f"expected {wanted!r}" + (f" = {declared!r}" if declared != wanted else ""),
                    hint="a partial tile is declared: Tensor(array).valid(rows=..., cols=...)",
                )

    def _of_tiles(
        self, tiles: Mapping[str, TileSpec]
    ) -> tuple[native.TileProgram, native.CompiledKernel]:
        key = tuple(tiles.items())
        if key not in self._made:
            program = self._kernel.specialise(self._constants, tiles).program
            assert program is not None
            self._made[key] = program, native.compile_kernel(program, self._options)
        self._last = self._made[key][1]
        return self._made[key]


def _dims(param: native.Param, tensor: Tensor) -> list[tuple[native.Affine, int]]:
    """The declared rows and columns, each with that of what is given."""
    extents = [1, 1, *tensor.view.shape][-2:]
    return list(zip((param.type.rows, param.type.columns), extents))


def run_argument(kernel: KernelRef, name: str, value: Any) -> Any:
    """The number or the tensor that `value` is for parameter `name`."""
    spec = kernel.signature[name].spec
    if isinstance(spec, ScalarSpec):
        if isinstance(value, bool):
            kind = "a number" if spec.dtype.is_float else "an integer"
            raise error(
                TypeCheckError,
                f"kernel '{kernel.name}': '{name}: {spec!r}' needs {kind}, got {value!r}",
            )
        return number_of(kernel.name, name, spec, value)
    assert isinstance(spec, DirectedSpec)
    writes = spec.direction != native.Direction.In
    tensor = value if isinstance(value, Tensor) else _wrap(kernel, name, spec, value)
    if writes and not tensor.writeable:
        raise error(
            TypeCheckError,
            f"kernel '{kernel.name}': '{name}: {spec!r}' is written but its array is read-only",
        )
    if writes and _has_repeated_places(tensor.view):
        raise error(
            TypeCheckError,
            f"kernel '{kernel.name}': '{name}: {spec!r}' is written but has a stride of 0, so that "
            "places of it are one element",
            hint="write to an array of its own",
        )
    tensor.check_placement(f"kernel '{kernel.name}': '{name}'")
    while tensor.ndim > 2 and tensor.shape[0] == 1:
        tensor = tensor[0]
    return tensor


def _has_repeated_places(view: native.TensorView) -> bool:
    return 0 not in view.shape and any(
        extent > 1 and stride == 0 for extent, stride in zip(view.shape, view.strides)
    )


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
