"""Includes point only up the list of layers, and Halide and LLVM stay behind it."""

from __future__ import annotations

from pathlib import Path

import pytest
from layers import ORDER, reachable, violations

TREE = Path(__file__).resolve().parents[2]


def test_the_tree_keeps_the_order() -> None:
    assert [str(v) for v in violations(TREE)] == []


def test_the_tree_is_looked_at() -> None:
    assert (TREE / "include/pto/wsp/support").is_dir()
    assert (TREE / "src").is_dir()


def write(tree: Path, name: str, text: str) -> None:
    file = tree / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


@pytest.mark.error
@pytest.mark.parametrize(
    ("name", "include", "message"),
    [
        (
            "include/pto/wsp/support/text.h",
            '"pto/wsp/core/dtype.h"',
            "include/pto/wsp/support/text.h:2: pto/wsp/core/dtype.h: support/ may include support",
        ),
        (
            "src/runtime/executor.cpp",
            '"pto/wsp/kernel/program.h"',
            "src/runtime/executor.cpp:2: pto/wsp/kernel/program.h: "
            "runtime/ may include support, core, runtime",
        ),
        (
            "src/lower/lower.cpp",
            '"pto/wsp/runtime/executor.h"',
            "src/lower/lower.cpp:2: pto/wsp/runtime/executor.h: lower/ may include "
            "support, core, rewrite, kernel, workload, schedule, graph, lower",
        ),
        (
            "include/pto/wsp/lower/lower.h",
            "<Halide.h>",
            "include/pto/wsp/lower/lower.h:2: Halide.h: "
            "a public header includes neither Halide nor LLVM",
        ),
        (
            "include/pto/wsp/backend/cpu/loader.h",
            '"llvm/ExecutionEngine/Orc/LLJIT.h"',
            "include/pto/wsp/backend/cpu/loader.h:2: llvm/ExecutionEngine/Orc/LLJIT.h: "
            "a public header includes neither Halide nor LLVM",
        ),
        (
            "src/schedule/step.cpp",
            '"Halide.h"',
            "src/schedule/step.cpp:2: Halide.h: schedule/ includes neither Halide nor LLVM",
        ),
        (
            "include/pto/wsp/lower/funcs.h",
            '"lower/module_impl.h"',
            "include/pto/wsp/lower/funcs.h:2: lower/module_impl.h: "
            "a public header includes public headers only",
        ),
        (
            "src/core/tensor.cpp",
            '"../lower/module_impl.h"',
            "src/core/tensor.cpp:2: ../lower/module_impl.h: core/ may include support, core",
        ),
        (
            "src/kernel/op.cpp",
            '"pto/wsp/extras/op.h"',
            f"src/kernel/op.cpp:2: pto/wsp/extras/op.h: not in a layer (layers: "
            f"{', '.join(ORDER)})",
        ),
    ],
)
def test_a_bad_include_is_named(tmp_path: Path, name: str, include: str, message: str) -> None:
    write(tmp_path, "src/lower/module_impl.h", "#pragma once\n#include <Halide.h>\n")
    write(tmp_path, name, f"#pragma once\n#include {include}\n")
    assert [str(v) for v in violations(tmp_path)] == [message]


def test_what_is_allowed_passes(tmp_path: Path) -> None:
    write(tmp_path, "include/pto/wsp/halide.h", "#include <Halide.h>\n")
    write(tmp_path, "src/lower/module_impl.h", "#include <Halide.h>\n")
    write(
        tmp_path,
        "src/backend/cpu/emit.cpp",
        '#include <Halide.h>\n#include <llvm/Object/ObjectFile.h>\n#include "lower/module_impl.h"\n'
        '#include "pto/wsp/runtime/executor.h"\n',
    )
    write(
        tmp_path,
        "src/lower/expand.cpp",
        '#include "module_impl.h"\n#include "pto/wsp/core/abi.h"\n#include <vector>\n',
    )
    assert list(violations(tmp_path)) == []


@pytest.mark.error
def test_a_directory_that_is_no_layer_is_named(tmp_path: Path) -> None:
    write(tmp_path, "src/utilities/misc.cpp", "")
    assert str(next(violations(tmp_path))).startswith("src/utilities/misc.cpp:1: : not in a layer")


def test_the_runtime_stands_alone() -> None:
    assert reachable("runtime") == {"support", "core", "runtime"}
