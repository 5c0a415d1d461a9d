"""Kernels: functions on tiles, traced into tile programs."""

from __future__ import annotations

import dataclasses
import sys
import threading
import types
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

import pto_wsp._pto_wsp as native
from pto_wsp.annotations import ConstexprSpec, DirectedSpec, ScalarSpec, TileSpec
from pto_wsp.compile_options import BLOCK_OPTIONS, block_size, constant_key
from pto_wsp.custom_bodies import CppOptions
from pto_wsp.errors import CompileError, TypeCheckError, error
from pto_wsp.kernel_ir import KernelIR
from pto_wsp.signatures import Signature, is_declaration, place_of
from pto_wsp.tracing import TileParam, Trace, record

if TYPE_CHECKING:
    from pto_wsp.compiled import CompiledKernel


@dataclasses.dataclass(frozen=True)
class Specialisation:
    """A kernel for certain constants and tile types."""

    kernel: native.Kernel
    program: native.TileProgram | None


class KernelRef:
    """A kernel, as `@kernel` makes it.

    In a workload ``k[axes](...)`` emits a task; ``k.compile()`` gives a function of arrays.
    """

    def __init__(
        self,
        function: types.FunctionType,
        signature: Signature,
        options: Mapping[str, Any] | None = None,
        cpp: CppOptions | None = None,
    ) -> None:
        if cpp is not None and not is_declaration(function):
            raise error(
                CompileError,
                f"kernel '{function.__name__}' has a body in C++ and one in Python",
                at=place_of(function),
                hint="leave the function's body empty, or the cpp_* options out",
            )
        self._cpp = cpp
        self._function = function
        self._signature = signature
        self._specialised: dict[Any, Specialisation] = {}
        self._lock = threading.RLock()
        self.options: Mapping[str, Any] = types.MappingProxyType(dict(options or {}))
        self.is_declaration = cpp is None and is_declaration(function)
        self.__name__ = function.__name__
        self.__qualname__ = function.__qualname__
        self.__doc__ = function.__doc__
        self.__module__ = function.__module__
        self.__wrapped__ = function

    @property
    def name(self) -> str:
        """The name of the function."""
        return self._function.__name__

    @property
    def symbol(self) -> str:
        """The qualified name, which tells kernels of one name apart."""
        return f"{self._function.__module__}.{self._function.__qualname__}"

    @property
    def module(self) -> types.ModuleType | None:
        """The module that defines it."""
        return sys.modules.get(self._function.__module__)

    @property
    def signature(self) -> Signature:
        """The parameters by name, in order."""
        return self._signature

    @property
    def at(self) -> _AtAxes:
        """``k.at(b=b, h=h)(...)`` is ``k[b, h](...)``. In loops the names must be those of loop
        variables: another one is a `ScheduleError` at the call."""
        return _AtAxes(self)

    @property
    def place(self) -> tuple[str, int]:
        """File and line of the function."""
        return place_of(self._function)

    def __getitem__(self, axes: Any) -> BoundKernel:
        return BoundKernel(self, axes if isinstance(axes, tuple) else (axes,))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return BoundKernel(self, ())(*args, **kwargs)

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<kernel {self.name}{self._signature}>"

    def trace(self, **values: Any) -> KernelIR:
        """Runs the body once on symbolic tiles.

        Parameters
        ----------
        **values
            The `Constexpr` parameters; for a parameter annotated with `Tensor` its `Tile` type.

        Raises
        ------
        CompileError
            The kernel is only declared.
        TypeCheckError
            At the line in the body where shapes or types do not fit.
        """
        constants, tiles = self._split(values)
        program = self.specialise(constants, tiles).program
        if program is None:
            raise error(
                CompileError,
                f"kernel '{self.name}' has an empty body: it is a declaration",
                hint="supply it with program.register_kernel(name, implementation)",
            )
        return KernelIR(program)

    @property
    def ir(self) -> KernelIR:
        """The traced kernel (with the defaults of its `Constexpr` parameters)."""
        return self.trace()

    def compile(self, target: str = "cpu", schedule: Any = None, **options: Any) -> CompiledKernel:
        """Compiles it to a function of arrays.

        Parameters
        ----------
        target : str
            ``"cpu"`` or ``"cpu_sim"``.
        schedule : list or str, optional
            Steps in the form of JSON that replace the default schedule.
        **options
            `Constexpr` parameters, values of Symbols, `Tile` types of parameters annotated with
            `Tensor`, and ``BLOCK_M``, ``BLOCK_N``, ``BLOCK_K``.

        Returns
        -------
        CompiledKernel
        """
        values, blocks, symbols = self._split_options(options)
        constants, tiles = self._split(values)
        from pto_wsp.compiled import CompiledKernel

        return CompiledKernel(self, target, schedule, blocks, symbols, constants, tiles)

    def lower(self, target: str = "cpu", **options: Any) -> str:
        """The loop nest that `compile` makes, as text."""
        return self.compile(target, **options).loop_nest

    def specialise(
        self, constants: Mapping[str, Any], tiles: Mapping[str, TileSpec]
    ) -> Specialisation:
        """The kernel for these constants and tile types; traced at most once for each."""
        constants = self._with_defaults(constants)
        key = (
            tuple((name, constant_key(value)) for name, value in constants.items()),
            tuple(sorted(tiles.items(), key=lambda item: item[0])),
        )
        try:
            hash(key)
        except TypeError as cause:
            raise error(
                TypeCheckError,
                f"kernel '{self.name}': a Constexpr value must be hashable: {cause}",
            ) from cause
        with self._lock:
            found = self._specialised.get(key)
            if found is None:
                params = self._native_params(constants, tiles)
                program = None if self.is_declaration else self._made_program(params, constants)
                kernel = native.Kernel(self.name, params, program, self.place)
                found = self._specialised[key] = Specialisation(kernel, program)
            return found

    def implement(self, declared: Sequence[native.Param]) -> native.TileProgram:
        """The tile program that stands in for a declaration with the parameters `declared`."""
        names = self._signature.runtime
        tiles = {}
        for name, param in zip(names, declared):
            spec = self._signature[name].spec
            if isinstance(spec, DirectedSpec) and spec.tile is None:
                tiles[name] = TileSpec(param.type.rows, param.type.columns, param.type.dtype)
        program = self.specialise({}, tiles).program
        if program is None:
            raise error(
                CompileError,
                f"kernel '{self.name}' has an empty body and cannot implement another kernel",
            )
        return program

    def owns(self, kernel: native.Kernel) -> bool:
        """True when `kernel` is one of its specialisations."""
        return any(made.kernel is kernel for made in self._specialised.values())

    def _made_program(
        self, params: list[native.Param], constants: Mapping[str, Any]
    ) -> native.TileProgram:
        if self._cpp is not None:
            return self._cpp.program(self.name, params, constants, self.place)
        return self._record(params, constants)

    def _record(
        self, params: list[native.Param], constants: Mapping[str, Any]
    ) -> native.TileProgram:
        trace = Trace(self.name, self.place)
        arguments: dict[str, Any] = dict(constants)
        for param in params:
            index = trace.builder.param(param)
            arguments[param.name] = (
                TileParam(trace, index, param.name, param.type)
                if param.is_tile
                else trace.wrap(trace.builder.scalar(index))
            )

        def body() -> None:
            by_keyword = self._signature.keyword_only
            positional = [arguments[name] for name in self._signature if name not in by_keyword]
            self._function(*positional, **{name: arguments[name] for name in by_keyword})

        return record(trace, body)

    def _native_params(
        self, constants: Mapping[str, Any], tiles: Mapping[str, TileSpec]
    ) -> list[native.Param]:
        replaced = {
            name: native.Affine(value)
            for name, value in constants.items()
            if isinstance(value, int) and not isinstance(value, bool)
        }
        params = []
        for name in self._signature.runtime:
            spec = self._signature[name].spec
            if isinstance(spec, ScalarSpec):
                params.append(native.Param.scalar(name, spec.dtype, self.place))
                continue
            assert isinstance(spec, DirectedSpec)
            tile = spec.tile or tiles.get(name)
            if tile is None:
                raise error(
                    TypeCheckError,
                    f"kernel '{self.name}': the tile type of '{name}: {spec!r}' is not known here",
                    hint=f"give it: {name}=Tile[rows, cols, dtype]",
                )
            for dim in (tile.rows, tile.cols):
                self._check_constexpr_dims(name, dim, constants)
            tile_type = native.TileType(
                tile.dtype, tile.rows.substitute(replaced), tile.cols.substitute(replaced)
            )
            params.append(native.Param.tile(name, spec.direction, tile_type, self.place))
        return params

    def _check_constexpr_dims(
        self, name: str, dim: native.Affine, constants: Mapping[str, Any]
    ) -> None:
        for used in dim.terms:
            if used in constants and not isinstance(constants[used], int):
                raise error(
                    TypeCheckError,
                    f"kernel '{self.name}': '{used}' is a dim of '{name}' and must be an integer, "
                    f"got {constants[used]!r}",
                )

    def _with_defaults(self, constants: Mapping[str, Any]) -> dict[str, Any]:
        values = {}
        for name in self._signature.constexprs:
            parameter = self._signature[name]
            if name in constants:
                values[name] = self._constexpr(name, constants[name])
            elif parameter.has_default:
                values[name] = self._constexpr(name, parameter.default)
            else:
                raise error(
                    TypeCheckError,
                    f"kernel '{self.name}': the Constexpr parameter '{name}' has no value",
                    hint=f"pass {name}=...",
                )
        return values

    def _split(self, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, TileSpec]]:
        """Separates constants from tile types; refuses other names."""
        constants: dict[str, Any] = {}
        tiles: dict[str, TileSpec] = {}
        for name, value in values.items():
            parameter = self._signature.get(name)
            if name in self._signature.constexprs:
                constants[name] = value
            elif (
                parameter is not None
                and isinstance(parameter.spec, DirectedSpec)
                and parameter.spec.tile is None
                and isinstance(value, TileSpec)
            ):
                tiles[name] = value
            else:
                raise self._unknown_option(name)
        return constants, tiles

    def _split_options(
        self, options: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, int], dict[str, int]]:
        values: dict[str, Any] = {}
        blocks: dict[str, int] = {}
        symbols: dict[str, int] = {}
        for name, value in options.items():
            if name in self._signature:
                values[name] = value
            elif name in BLOCK_OPTIONS:
                blocks[name] = block_size(name, value)
            elif name in self._symbols():
                symbols[name] = self._symbol(name, value)
            else:
                raise self._unknown_option(name)
        return values, blocks, symbols

    def _symbol(self, name: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 0:
            raise error(
                TypeCheckError,
                f"kernel '{self.name}': the Symbol '{name}' must be an integer >= 0, got {value!r}",
            )
        if value >= 2**63:
            raise error(
                TypeCheckError,
                f"kernel '{self.name}': the Symbol '{name}' is {value}, past 64 bits",
            )
        return int(value)

    def _constexpr(self, name: str, value: Any) -> Any:
        """`value` as an integer where it is a NumPy one; refuses what the annotation does not."""
        if isinstance(value, np.integer):
            value = int(value)
        spec = self._signature[name].spec
        assert isinstance(spec, ConstexprSpec)
        if spec.kind is None:
            return value
        fits = isinstance(value, spec.kind) and (
            spec.kind is bool or not isinstance(value, bool) or not issubclass(spec.kind, int)
        )
        if spec.kind is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if not fits:
            raise error(
                TypeCheckError,
                f"kernel '{self.name}': '{name}: {spec!r}' needs a {spec.kind.__name__}, got "
                f"{value!r}",
            )
        return value

    def _symbols(self) -> list[str]:
        """Names in the dims that are not `Constexpr` parameters."""
        found: dict[str, None] = {}
        for parameter in self._signature.values():
            spec = parameter.spec
            if isinstance(spec, DirectedSpec) and spec.tile is not None:
                for dim in (spec.tile.rows, spec.tile.cols):
                    found.update(dict.fromkeys(dim.terms))
        return [name for name in found if name not in self._signature.constexprs]

    def _unknown_option(self, name: str) -> TypeCheckError:
        known = [*self._signature.constexprs, *self._symbols(), *BLOCK_OPTIONS]
        made = error(
            TypeCheckError,
            f"kernel '{self.name}': unknown option '{name}'",
            hint="the options are " + ", ".join(known),
        )
        assert isinstance(made, TypeCheckError)
        return made


class _AtAxes:
    """`k.at(b=b)`, and the same as an attribute."""

    def __init__(self, kernel: KernelRef) -> None:
        self._kernel = kernel

    def __call__(self, **axes: Any) -> BoundKernel:
        return BoundKernel(self._kernel, tuple(axes.values()), tuple(axes))


class BoundKernel:
    """A kernel with its axes: ``k[b, h]``; calling it in a workload emits a task."""

    def __init__(
        self, kernel: KernelRef, axes: tuple[Any, ...], names: tuple[str, ...] = ()
    ) -> None:
        self.kernel = kernel
        self.axes = axes
        self.names = names

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from pto_wsp.statements import emit_task

        return emit_task(self.kernel, self.axes, args, kwargs, self.names)

    def __repr__(self) -> str:
        return f"<kernel {self.kernel.name}{list(self.axes)}>"
