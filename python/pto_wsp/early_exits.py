"""Jumps out of `with P.when(...)`. Its body is built whichever case a run takes, and a jump would
leave out what follows it in all of them."""

from __future__ import annotations

import ast
import inspect
import textwrap
import types
from collections.abc import Iterator

from pto_wsp.errors import CompileError, error

_BRANCHES = ("when", "otherwise")
_TOKENS = "consume"


def refuse_jumps(function: types.FunctionType) -> None:
    """Looks at the text of `function`, where there is one.

    Raises
    ------
    CompileError
        At the line of a `return`, `break` or `continue` that leaves a branch.
    """
    code = function.__code__
    if not {*_BRANCHES, _TOKENS} & set(code.co_names):
        return
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return
    for scope in ast.walk(tree):
        if not isinstance(scope, ast.With):
            continue
        is_branch = any(_is_branch(item) for item in scope.items)
        if not is_branch and not any(_takes_tokens(item) for item in scope.items):
            continue
        for jump in _jumps(scope.body, in_loop=False):
            leaves = f"'{type(jump).__name__.lower()}' leaves the body of a "
            raise error(
                CompileError,
                leaves + "branch, which is built for all cases at once"
                if is_branch
                else leaves + "consume, which is built once for all tokens",
                at=(code.co_filename, code.co_firstlineno + jump.lineno - 1),
                hint="put what the other cases do into `with P.otherwise():`"
                if is_branch
                else "what follows the consume is a statement of its own",
            )


def _is_branch(item: ast.withitem) -> bool:
    call = item.context_expr
    return (
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in _BRANCHES
    )


def _takes_tokens(item: ast.withitem) -> bool:
    call = item.context_expr
    if not isinstance(call, ast.Call):
        return False
    name = call.func.attr if isinstance(call.func, ast.Attribute) else call.func
    return name == _TOKENS or (isinstance(name, ast.Name) and name.id == _TOKENS)


def _jumps(body: list[ast.stmt], in_loop: bool) -> Iterator[ast.stmt]:
    """Statements that leave `body`; of loops in it only those that leave these too."""
    for statement in body:
        if isinstance(statement, ast.Return):
            yield statement
        elif isinstance(statement, (ast.Break, ast.Continue)):
            if not in_loop:
                yield statement
        elif not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            inside = in_loop or isinstance(statement, (ast.For, ast.While))
            for name in ("body", "orelse", "finalbody"):
                yield from _jumps(getattr(statement, name, []), inside)
            for handler in getattr(statement, "handlers", []):
                yield from _jumps(handler.body, inside)
