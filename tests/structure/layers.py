"""The order of the layers, and the includes that break it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Top to bottom: a layer includes itself and what stands before it here.
ORDER = (
    "support",
    "core",
    "rewrite",
    "kernel",
    "workload",
    "schedule",
    "graph",
    "lower",
    "runtime",
    "backend",
    "program",
    "dist",
    "aot",
)

# Layers that may include less than all before them. The runtime is linked alone by products that
# were compiled ahead of time; lowering reaches it through core/abi.h only.
ONLY = {"runtime": {"support", "core"}}
NOT = {"lower": {"runtime"}}

# Headers that stand for the whole project instead of a layer.
FRONT_DOORS = {"wsp.h": "program", "halide.h": "program"}
USES_HALIDE = {"lower", "backend"}

PUBLIC = Path("include/pto/wsp")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)
COMPILER = re.compile(r"^(Halide|HalideRuntime\w*|HalideBuffer|llvm(-c)?/.*|clang(-c)?/.*)(\.h)?$")


@dataclass(frozen=True)
class Violation:
    """An include that must not be there."""

    path: Path
    line: int
    include: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.include}: {self.reason}"


def layer_of(path: Path) -> str | None:
    """The layer of a path relative to `src` or to the public headers; None for no layer."""
    if len(path.parts) == 1:
        return FRONT_DOORS.get(path.name)
    return path.parts[0] if path.parts[0] in ORDER else None


def reachable(layer: str) -> set[str]:
    """The layers that `layer` may include."""
    if layer in ONLY:
        return ONLY[layer] | {layer}
    return set(ORDER[: ORDER.index(layer) + 1]) - NOT.get(layer, set())


def refusal(
    tree: Path, path: Path, layer: str, public: bool, include: str, quoted: bool
) -> str | None:
    """Why `path` of `layer` must not include `include`; None when it may."""
    if COMPILER.match(include):
        if path == PUBLIC / "halide.h" and include == "Halide.h":
            return None
        if public:
            return "a public header includes neither Halide nor LLVM"
        return None if layer in USES_HALIDE else f"{layer}/ includes neither Halide nor LLVM"
    if include.startswith("pto/wsp/"):
        target = Path(include).relative_to("pto/wsp")
    elif (tree / "src" / include).exists():
        target = Path(include)
        if public:
            return "a public header includes public headers only"
    elif quoted and (tree / path.parent / include).exists():
        root = tree / (PUBLIC if public else "src")
        target = (tree / path.parent / include).resolve().relative_to(root.resolve())
    else:
        return None
    to = layer_of(target)
    if to is None:
        return f"not in a layer (layers: {', '.join(ORDER)})"
    if to in reachable(layer):
        return None
    return f"{layer}/ may include {', '.join(x for x in ORDER if x in reachable(layer))}"


def violations(tree: Path) -> Iterator[Violation]:
    """Every include of `tree`'s public headers and sources that breaks the order."""
    for root, public in ((PUBLIC, True), (Path("src"), False)):
        for file in sorted((tree / root).rglob("*")):
            if file.suffix not in {".h", ".cpp", ".def", ".inc"}:
                continue
            path = file.relative_to(tree)
            layer = layer_of(path.relative_to(root))
            if layer is None:
                yield Violation(path, 1, "", f"not in a layer (layers: {', '.join(ORDER)})")
                continue
            text = file.read_text(encoding="utf-8")
            for match in INCLUDE.finditer(text):
                include = match[2]
                reason = refusal(tree, path, layer, public, include, match[1] == '"')
                if reason:
                    line = text.count("\n", 0, match.start(2)) + 1
                    yield Violation(path, line, include, reason)
