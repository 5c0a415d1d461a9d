#pragma once

#include <Halide.h>

#include "pto/wsp/lower/expand.h"

namespace pto::wsp::lower {

/// Code of expressions over 64-bit words. Variables have their names; the rest of what a run gets
/// is in the words of `bindings`, slots in those of `frame`.
struct ScalarCode {
    const TaskLoops *loops = nullptr;
    int first_slot = -1;  ///< word of slot 0; -1: there are none

    /// `value` with lazy `and`, `or` and `select`. An element that a table does not have ends the
    /// run with an error.
    Halide::Expr operator()(const ScalarExpr &value) const;
};

Halide::Expr i64(int64_t value);
/// The 64-bit variable called `name`.
Halide::Expr variable(const std::string &name);
/// Word `index` of `memory`.
Halide::Expr word(const std::string &memory, int index);
Halide::Internal::Stmt set_word(const std::string &memory, int index, const Halide::Expr &value);

}  // namespace pto::wsp::lower
