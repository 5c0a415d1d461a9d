"""Finds what a public header declares at namespace scope without saying what it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

NAMESPACE = re.compile(r'^((inline )?namespace\b[^;]*|extern "C") \{$')
FORWARD = re.compile(
    r"^(template <[^{;]*> )?(struct|class|enum class|enum) [\w:]+( : \w+)?;( *//.*)?$"
)
SKIPPED = re.compile(
    r"^(#|using namespace |extern template |static_assert\(|PTO_WSP_\w+\(|\}|//[^/])"
)


@dataclass(frozen=True)
class Undocumented:
    """A declaration that no `///` stands above, nor above the block of lines it belongs to."""

    path: Path
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: undocumented: {self.text}"


def code_of(line: str) -> str:
    """The line without strings and comments, so that braces can be counted."""
    return re.sub(r'"(\\.|[^"\\])*"|\'(\\.|[^\'\\])\'|//.*', "", line)


def undocumented(path: Path, text: str) -> Iterator[Undocumented]:
    """Every undocumented declaration of one header. A comment serves the lines that follow it up
    to the next blank line, so that a family of functions needs one."""
    depth = 0  # of braces and parentheses inside a declaration; namespaces do not count
    documented = False
    continued = False
    macro = False
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        in_macro, macro = macro, line.endswith("\\") and (macro or line.startswith("#"))
        if in_macro:
            continue
        if depth == 0 and not continued:
            if not line:
                documented = False
                continue
            if line.startswith("///"):
                documented = True
                continue
            if NAMESPACE.match(line) or SKIPPED.match(line) or FORWARD.match(line):
                continue
            if not documented and "///<" not in line:
                yield Undocumented(path, number, line)
        code = code_of(line)
        depth += len(re.findall(r"[{(]", code)) - len(re.findall(r"[})]", code))
        continued = depth > 0 or not re.search(r"[;}]\s*$", code.rstrip())
