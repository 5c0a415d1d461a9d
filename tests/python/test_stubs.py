"""The stub of the native module names what the module has, and nothing else."""

import ast
import doctest
import pathlib

import pto_wsp
import pto_wsp._pto_wsp as native
from pto_wsp import scalar_expr

STUB = pathlib.Path(pto_wsp.__file__).with_name("_pto_wsp.pyi")


def members(body: list[ast.stmt]) -> dict[str, ast.stmt]:
    """The names that statements define, by name."""
    found: dict[str, ast.stmt] = {}
    for statement in body:
        if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
            found[statement.name] = statement
        elif isinstance(statement, ast.AnnAssign):
            assert isinstance(statement.target, ast.Name)
            found[statement.target.id] = statement
        elif isinstance(statement, ast.Assign):
            assert isinstance(statement.targets[0], ast.Name)
            found[statement.targets[0].id] = statement
    return found


def public(thing: object) -> set[str]:
    return {name for name in vars(thing) if not name.startswith("_")}


def test_the_module_and_its_stub_have_the_same_names() -> None:
    stub = members(ast.parse(STUB.read_text()).body)
    aliases = {"Place", "AttributeValue"}
    assert set(stub) - aliases == public(native)


def test_classes_and_their_stubs_have_the_same_members() -> None:
    for name, statement in members(ast.parse(STUB.read_text()).body).items():
        if isinstance(statement, ast.ClassDef):
            written = {m for m in members(statement.body) if not m.startswith("_")}
            real = {m for m in public(getattr(native, name)) if m not in ("name", "value")}
            ignored = {"name", "value"}
            assert written - ignored == real, name


def test_arguments_have_the_names_of_the_stub() -> None:
    """The first line of a native docstring is its signature."""
    for name, statement in members(ast.parse(STUB.read_text()).body).items():
        if not isinstance(statement, ast.FunctionDef):
            continue
        signature = (getattr(native, name).__doc__ or "").splitlines()[0]
        for argument in statement.args.args:
            assert f"{argument.arg}:" in signature, (name, signature)


def test_examples_in_the_documentation() -> None:
    for module in (pto_wsp, scalar_expr):
        assert doctest.testmod(module).failed == 0
        assert doctest.testmod(module).attempted > 0
