#pragma once

#include <string>
#include <vector>

#include <Halide.h>

#include "pto/wsp/lower/lower.h"
#include "pto/wsp/schedule/outline.h"

namespace pto::wsp::lower {

/// Halide's target for code that runs under our runtime: no runtime, no asserts, no bounds queries.
Halide::Target code_target(const Target &target, bool wide);

/// The arguments of a kernel's function: one a slot of core/abi.h, in order, named
/// `<param>.host .row_stride .column_stride .slot_rows .slot_columns` or `<param>.scalar`.
std::vector<Halide::Internal::LoweredArgument> kernel_arguments(const kernel::TileProgram &program);

/// Their values as the 64-bit words that the slots hold.
std::vector<Halide::Expr> slot_words(const kernel::TileProgram &program);

/// `body` with `param` replaced by a copy of it, made before anything else.
Halide::Internal::Stmt copy_first(const kernel::Param &param, const Halide::Internal::Stmt &body);

/// Ends the task with an error unless `holds`.
Halide::Internal::Stmt fail_unless(const Halide::Expr &holds, const std::string &text);

/// The statement of a whole kernel: regions lowered by Halide, with carried loops, scratch memory
/// and window arithmetic around them.
Halide::Internal::Stmt kernel_statement(const KernelVariant &variant,
                                        const schedule::Outline &outline, const Target &target);

/// The function `<symbol>.packed`: reads the slots and calls `symbol`.
Halide::Internal::LoweredFunc packed_wrapper(const kernel::TileProgram &program,
                                             const std::string &symbol);

}  // namespace pto::wsp::lower
