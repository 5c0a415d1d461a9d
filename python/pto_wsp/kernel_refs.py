"""`@kernel`: functions on tiles, traced into tile programs."""

from __future__ import annotations

import dataclasses
import json
import sys
import threading
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np

import pto_wsp._pto_wsp as native
from pto_wsp.annotations import ConstexprSpec, DirectedSpec, ScalarSpec, TileSpec
from pto_wsp.custom_bodies import CppOptions, cpp_options
from pto_wsp.dtypes import DType
from pto_wsp.errors import CompileError, ScheduleError, TypeCheckError, at_user_line, error
from pto_wsp.signatures import Signature, is_declaration, parse_signature, place_of
from pto_wsp.tracing import TileParam, Trace, record

if TYPE_CHECKING:
    from pto_wsp.compiled import CompiledKernel

BLOCK_OPTIONS = ("BLOCK_M", "BLOCK_N", "BLOCK_K")


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

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        BoundKernel(self, ())(*args, **kwargs)

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
            tuple((name, _constant_key(value)) for name, value in constants.items()),
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

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        from pto_wsp.workloads import emit_task

        emit_task(self.kernel, self.axes, args, kwargs, self.names)

    def __repr__(self) -> str:
        return f"<kernel {self.kernel.name}{list(self.axes)}>"


def _constant_key(value: Any) -> Any:
    """What tells constants apart: 1, 1.0 and True are equal, as are 0.0 and -0.0, but make other
    code."""
    if isinstance(value, (tuple, frozenset)):
        parts = [_constant_key(part) for part in value]
        return type(value), tuple(parts) if isinstance(value, tuple) else frozenset(parts)
    if isinstance(value, (float, np.floating)):
        return type(value), float(value).hex()
    return type(value), value


def kernel_schedule(steps: Any) -> native.KernelSchedule:
    """Steps given as JSON text, as the lists that JSON would hold, or already as a schedule."""
    if isinstance(steps, native.KernelSchedule):
        return steps
    if isinstance(steps, str):
        text = steps
    else:
        try:
            text = json.dumps(steps)
        except (TypeError, ValueError) as cause:
            raise error(ScheduleError, f"schedule: {cause}") from cause
    with at_user_line():
        return native.KernelSchedule.from_json(text)


def target_name(target: Any) -> str:
    """The name of a target that can be compiled for.

    Raises
    ------
    TypeCheckError
        It is no text.
    CompileError
        A target of which there is no backend yet. (Names that are not known at all are found by the
        native side.)
    """
    if not isinstance(target, str):
        raise error(
            TypeCheckError,
            f"compile: target is {target!r}, not a name",
            hint="targets: cpu, cpu_sim",
        )
    if target in ("ascend_npu", "ascend_sim"):
        raise error(
            CompileError,
            f"compile: target '{target}' is not available yet",
            hint="targets: cpu, cpu_sim",
        )
    return target


def block_size(name: str, value: Any) -> int:
    """A tile size of the schedule."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise error(TypeCheckError, f"{name} must be an integer >= 1, got {value!r}")
    return value


def tile_of_shape(shape: Iterable[int], dtype: DType) -> TileSpec:
    """The tile that the trailing two dimensions of a view are."""
    rows, cols = [1, 1, *shape][-2:]
    return TileSpec(native.Affine(rows), native.Affine(cols), dtype)


@overload
def kernel(function: Callable[..., Any]) -> KernelRef: ...
@overload
def kernel(**options: Any) -> Callable[[Callable[..., Any]], KernelRef]: ...


def kernel(function: Any = None, **options: Any) -> Any:
    """Makes a kernel of a function on tiles.

    The body is traced with the primitives of `pto` when it is first needed. An empty body
    (``...``, ``pass`` or a docstring) declares a kernel that ``program.register_kernel`` supplies.

    With one of the first three options the body is C++, compiled with the system's compiler
    (``CXX``, else c++, g++ or clang++), and that of the function must be empty. C++ sees the
    parameters by name: tiles as ``x(r, c)``, ``x.rows()``, ``x.cols()`` (the valid ones),
    ``x.data()``, ``x.stride()``, ``x.column_stride()``; scalars and Constexpr values as numbers;
    elements of F16 and BF16 turn into float and back. What it throws is the task's error. It must
    not keep state that tasks of several threads would share.

    Parameters
    ----------
    cpp_src : str
        The inside of the function.
    cpp_body_path : str or path
        A file that holds the inside of the function.
    cpp_tu_path : str or path
        A file that defines a function of the kernel's name, which returns nothing and takes the
        tiles and scalars in order, as `TileRef` and numbers, then the Constexpr values.
    cpp_includes : list of str
        ``"<cmath>"``, ``'"mine.h"'`` or ``"mine.h"``, which is looked for beside the source.
    cpp_include_dirs : list of str
        Directories of headers.

    Raises
    ------
    TypeCheckError
        An annotation is missing or wrong.
    CompileError
        An option that is not known, or two bodies. What a C++ compiler finds is raised when the
        kernel is compiled, at the line of its text.
    """
    frame = sys._getframe(1)
    decorate = _decorator("kernel", frame, options, cpp_options(options, frame))
    return decorate if function is None else decorate(function)


jit_kernel = kernel


@overload
def ptoisa_kernel(function: Callable[..., Any]) -> KernelRef: ...
@overload
def ptoisa_kernel() -> Callable[[Callable[..., Any]], KernelRef]: ...


def ptoisa_kernel(function: Any = None, **options: Any) -> Any:
    """Makes a kernel of a function that is written with the instructions of `ptoisa`.

    Raises
    ------
    TypeCheckError
        An annotation is missing or wrong.
    CompileError
        There is an option.
    """
    if options:
        name = next(iter(options))
        raise error(CompileError, f"@ptoisa_kernel: unknown option '{name}'", hint="it has none")
    decorate = _decorator("ptoisa_kernel", sys._getframe(1), {}, None)
    return decorate if function is None else decorate(function)


def _decorator(
    name: str, frame: types.FrameType, options: Mapping[str, Any], cpp: CppOptions | None
) -> Callable[[Callable[..., Any]], KernelRef]:
    visible = frame.f_locals

    def decorate(body: Callable[..., Any]) -> KernelRef:
        if not isinstance(body, types.FunctionType):
            raise error(TypeCheckError, f"@{name}: expected a function, got {body!r}")
        return KernelRef(body, parse_signature(body, visible), options, cpp)

    return decorate
