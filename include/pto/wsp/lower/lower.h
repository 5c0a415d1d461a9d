#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "pto/wsp/kernel/dims.h"
#include "pto/wsp/kernel/program.h"
#include "pto/wsp/schedule/step.h"
#include "pto/wsp/support/reason.h"

namespace pto::wsp::lower {

/// What code is generated for: a Halide target string without runtime features,
/// `x86-64-linux-avx512_zen4-...`.
struct Target {
    std::string text;
    int vector_bytes = 32;  ///< of the widest vector unit
    int vector_registers = 16;
    int64_t l1d_bytes = 32 << 10;
    int64_t l2_bytes = 1 << 20;
    bool bfloat_dot = false;  ///< adds two products of BF16 to an F32 at a time
};

/// This machine, or `env::target()` when set.
Target host_target();
/// CompileError when Halide does not know it.
Target parse_target(const std::string &text, const Loc &at = Loc::here());

/// What one tile parameter's views have in common in all calls of a compiled kernel.
struct ParamLayout {
    bool unit_columns = true;  ///< the column stride is 1
    bool partial = false;      ///< rows or columns may be fewer than declared (`valid`)
    bool wide = false;         ///< offsets inside the view may pass 2^31 elements
    bool copied = false;       ///< an input that may overlap a result: copied before anything else
    std::string str() const;
};

/// A kernel ready to be lowered.
struct KernelVariant {
    std::shared_ptr<const kernel::TileProgram> program;  ///< after the tile rules
    std::vector<ParamLayout> layouts;                    ///< one a parameter
    schedule::KernelSchedule schedule;
    /// Dims whose valid sizes must be equal and that callers may give different ones: compared
    /// before anything else, a difference ends the task with an error.
    std::vector<kernel::DimClass> unproven;
    /// Of a kernel with a C++ body: the name of its BodyFn in this process.
    std::string body_symbol;
};

/// A compiled C++ body: takes the slots of core/abi.h, and returns null, or why it failed in a text
/// that lives until the thread's next call.
using BodyFn = const char *(*)(const int64_t *slots);

/// A Halide module: THE artefact that backends start from. Opaque, so that no public header
/// includes Halide.
class Module {
public:
    struct Impl;
    explicit Module(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
    /// The lowered statements.
    std::string text() const;
    Impl &impl() const { return *impl_; }

private:
    std::shared_ptr<Impl> impl_;
};

/// Lowers a kernel: TileProgram -> pure regions, each a Halide pipeline with the schedule's steps
/// applied -> statements of one function `<symbol>` with one argument per slot of abi.h, and
/// `<symbol>.packed`, an abi::KernelFn. ScheduleError for an illegal step, with the legal
/// alternatives.
Module lower_kernel(const KernelVariant &variant, const std::string &symbol, const Target &target);

/// The loop nest of `variant`, as text.
std::string loop_nest(const KernelVariant &variant, const Target &target);

}  // namespace pto::wsp::lower
