"""From a Python function's annotations to the parameters of a kernel."""

from __future__ import annotations

import dataclasses
import dis
import inspect
import types
from collections.abc import Callable, Mapping
from typing import Any

import pto_wsp._pto_wsp as native
from pto_wsp.annotations import ConstexprSpec, DirectedSpec, ScalarSpec, Spec
from pto_wsp.errors import TypeCheckError, error
from pto_wsp.symbols import Dim

_Place = tuple[str, int]
_spec_types = (DirectedSpec, ScalarSpec, ConstexprSpec)


@dataclasses.dataclass(frozen=True)
class Parameter:
    """One parameter of a kernel: its annotation and its default."""

    name: str
    spec: Spec
    default: Any = inspect.Parameter.empty
    keyword_only: bool = False

    @property
    def has_default(self) -> bool:
        """True when a call may leave it out."""
        return self.default is not inspect.Parameter.empty

    @property
    def takes_any_tile(self) -> bool:
        """True for a direction of `Tensor`: the tile is that of what is bound."""
        return isinstance(self.spec, DirectedSpec) and self.spec.tile is None


class Signature(Mapping[str, Parameter]):
    """The parameters of a kernel by name, in order."""

    def __init__(self, kernel: str, parameters: list[Parameter]) -> None:
        self._kernel = kernel
        self._parameters = {parameter.name: parameter for parameter in parameters}

    def __getitem__(self, name: str) -> Parameter:
        return self._parameters[name]

    def __iter__(self) -> Any:
        return iter(self._parameters)

    def __len__(self) -> int:
        return len(self._parameters)

    def __str__(self) -> str:
        shown = []
        for parameter in self.values():
            default = f" = {parameter.default!r}" if parameter.has_default else ""
            shown.append(f"{parameter.name}: {parameter.spec!r}{default}")
        return "(" + ", ".join(shown) + ")"

    def __repr__(self) -> str:
        return f"<Signature {self}>"

    @property
    def constexprs(self) -> list[str]:
        """Names of the `Constexpr` parameters."""
        return [name for name in self if isinstance(self[name].spec, ConstexprSpec)]

    @property
    def keyword_only(self) -> list[str]:
        """Names of the parameters behind a ``*``."""
        return [name for name in self if self[name].keyword_only]

    @property
    def runtime(self) -> list[str]:
        """Names of the tiles and scalars, which exist at run time."""
        return [name for name in self if not isinstance(self[name].spec, ConstexprSpec)]

    def without_constants(self) -> Signature:
        """The parameters that exist at run time."""
        return Signature(self._kernel, [self[name] for name in self.runtime])

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The value of every parameter, defaults filled in, in order.

        Raises
        ------
        TypeCheckError
            For a missing, doubled or unknown argument, by name.
        """
        names = list(self)
        if len(args) > len(names):
            raise self._error(
                f"takes {len(names)} arguments but {len(args)} were given", f"it is {self}"
            )
        bound = dict(zip(names, args))
        for name, value in kwargs.items():
            if name not in self._parameters:
                near = native.nearest_name(name, names)
                raise self._error(
                    f"unknown argument '{name}'",
                    (f"did you mean '{near}'? " if near else "")
                    + "the parameters are "
                    + ", ".join(names),
                )
            if name in bound:
                raise self._error(f"argument '{name}' is given twice", f"it is {self}")
            bound[name] = value
        for parameter in self.values():
            if parameter.name in bound:
                continue
            if not parameter.has_default:
                raise self._error(
                    f"missing argument '{parameter.name}': {parameter.spec!r}", f"it is {self}"
                )
            bound[parameter.name] = parameter.default
        return {name: bound[name] for name in names}

    def outputs_left_out(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[str]:
        """The tiles that a kernel only writes and that a call leaves out: what a token carries."""
        given = set(list(self)[: len(args)]) | set(kwargs)
        return [
            parameter.name
            for parameter in self.values()
            if parameter.name not in given
            and isinstance(parameter.spec, DirectedSpec)
            and parameter.spec.direction == native.Direction.Out
        ]

    def _error(self, text: str, hint: str) -> TypeCheckError:
        made = error(TypeCheckError, f"kernel '{self._kernel}': {text}", hint=hint)
        assert isinstance(made, TypeCheckError)
        return made


def place_of(function: Callable[..., Any]) -> _Place:
    """Where `function` is defined."""
    code = function.__code__
    return code.co_filename, code.co_firstlineno


def parse_signature(
    function: Callable[..., Any], visible: Mapping[str, Any] | None = None
) -> Signature:
    """Reads the annotations of `function`; those that are text are evaluated where it is defined.

    Raises
    ------
    TypeCheckError
        At the function, naming the parameter whose annotation is missing or wrong.
    """
    annotations = inspect.get_annotations(function)
    namespace = {**function.__globals__, **(visible or {}), **closure_of(function)}
    for name, annotation in annotations.items():
        if _names_constexpr(annotation, namespace):
            annotations[name] = _evaluate(function, name, annotation, namespace)
            namespace[name] = Dim(native.Affine.variable(name))
    parameters = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise _bad(
                function, f"parameter '{parameter}' cannot be variadic", "name each parameter"
            )
        if parameter.name not in annotations:
            raise _bad(
                function,
                f"parameter '{parameter.name}' has no annotation",
                "annotate it with In[...], Out[...], InOut[...], Scalar[...] or Constexpr",
            )
        spec = _evaluate(function, parameter.name, annotations[parameter.name], namespace)
        by_keyword = parameter.kind is parameter.KEYWORD_ONLY
        parameters.append(Parameter(parameter.name, spec, parameter.default, by_keyword))
    return Signature(function.__name__, parameters)


def closure_of(function: Callable[..., Any]) -> dict[str, Any]:
    """The variables of enclosing functions that `function` uses, as far as they have values."""
    found = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
        try:
            found[name] = cell.cell_contents
        except ValueError:
            continue
    return found


def is_declaration(function: Callable[..., Any]) -> bool:
    """True when the body is empty: ``...``, ``pass`` or a docstring alone."""
    idle = {"RESUME", "NOP", "LOAD_CONST", "RETURN_VALUE", "RETURN_CONST", "POP_TOP"}
    return all(step.opname in idle for step in dis.get_instructions(function.__code__))


def _names_constexpr(annotation: Any, namespace: Mapping[str, Any]) -> bool:
    if not isinstance(annotation, str):
        return isinstance(annotation, ConstexprSpec)
    head = annotation.split("[")[0].strip()
    found: Any = namespace.get(head.split(".")[0])
    for attribute in head.split(".")[1:]:
        found = getattr(found, attribute, None)
    return isinstance(found, ConstexprSpec)


def _evaluate(
    function: Callable[..., Any], name: str, annotation: Any, namespace: Mapping[str, Any]
) -> Spec:
    if isinstance(annotation, str):
        try:
            annotation = eval(annotation, dict(namespace))
        except NameError as cause:
            raise _bad(
                function, f"annotation of '{name}' cannot be evaluated: {cause}", ""
            ) from cause
    if not isinstance(annotation, _spec_types):
        raise _bad(
            function,
            f"annotation of '{name}' is {annotation!r}",
            "use In[...], Out[...], InOut[...] of a Tile[rows, cols, dtype] or Tensor, "
            "Scalar[dtype] or Constexpr",
        )
    return annotation


def _bad(function: Callable[..., Any], text: str, hint: str) -> TypeCheckError:
    made = error(
        TypeCheckError, f"kernel '{function.__name__}': {text}", at=place_of(function), hint=hint
    )
    assert isinstance(made, TypeCheckError)
    return made


def like_declaration(function: types.FunctionType, declared: Signature) -> Signature:
    """The signature of an implementation without annotations: that of its declaration, by
    position."""
    names = list(inspect.signature(function).parameters)
    if len(names) != len(declared):
        raise _bad(
            function,
            f"takes {len(names)} parameters but its declaration has {len(declared)}",
            f"the declaration is {declared}",
        )
    return Signature(
        function.__name__,
        [
            Parameter(name, parameter.spec, parameter.default)
            for name, parameter in zip(names, declared.values())
        ],
    )
