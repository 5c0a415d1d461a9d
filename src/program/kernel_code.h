#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "pto/wsp/backend/cpu/loader.h"
#include "pto/wsp/core/abi.h"
#include "pto/wsp/core/tensor.h"
#include "pto/wsp/kernel/dims.h"
#include "pto/wsp/lower/lower.h"
#include "pto/wsp/schedule/heuristic.h"
#include "pto/wsp/support/reason.h"

namespace pto::wsp {

/// A kernel on its way to code: what decides the code, before any of the costly steps.
struct KernelRequest {
    std::shared_ptr<const kernel::TileProgram> program;
    std::vector<lower::ParamLayout> layouts;
    std::optional<schedule::KernelSchedule> schedule;  ///< none: the heuristic's
    schedule::BlockSizes blocks;
    std::vector<kernel::DimClass> unproven;  ///< see lower::KernelVariant
    std::string body_symbol = {};            ///< see lower::KernelVariant
    bool adds_cycles = false;                ///< see backend::cpu::CompiledBody

    /// Compiles the body of a kernel that is no tile program and adds it to `externals`; clears
    /// `*hit` when it had to be compiled. ScheduleError at `at` when a schedule is asked for.
    void compile_body(const lower::Target &target, backend::cpu::Externals &externals, bool *hit,
                      const Loc &at);

    /// Text of everything that decides the code besides target and engine. Rewriting and the
    /// heuristic are functions of it, so a cached kernel runs neither.
    std::string key() const;
};

/// Rewrites the program, makes it partial where its views are, and gives it its schedule.
lower::KernelVariant prepare(const KernelRequest &request, const lower::Target &target,
                             Reasons *reasons);

/// `symbol` of lower/ for a hash: `k` and 16 digits.
std::string kernel_symbol(const Hash128 &hash);

/// Dims of partial parameters that must have the same valid size.
std::vector<kernel::DimClass> meeting_dims(const kernel::TileProgram &program,
                                           const std::vector<lower::ParamLayout> &layouts);

/// Row and column counts and strides of a rank-1 or rank-2 view as a tile.
struct TileView {
    void *data = nullptr;
    int64_t rows = 1, columns = 1, row_stride = 0, column_stride = 1;
};
TileView tile_view(const TensorView &view);

/// Generated code counts the elements of a tile in 32 bits, along each dim.
inline constexpr int64_t max_extent = INT32_MAX;
/// TypeCheckError at `at` when a size, or a stride between elements of the tile, is larger than
/// that; names the parameter `param` of `kernel`.
void check_addressable(const std::string &kernel, const std::string &param, const TileView &tile,
                       const Loc &at);

/// Layout that fits `tile` bound to a parameter of `type`, whose dims are numbers. Needs: an
/// addressable tile.
lower::ParamLayout layout_of(const TileView &tile, const kernel::TileType &type);

/// Appends the slots of core/abi.h.
void append_slots(std::vector<int64_t> &slots, const TileView &view);
void append_slot(std::vector<int64_t> &slots, DType dtype, double value);

/// Makes the input among two overlapping parameters a copy. TypeCheckError when both are results.
void copy_overlapping(const kernel::TileProgram &program, std::vector<lower::ParamLayout> &layouts,
                      size_t a, size_t b, const Loc &at);

/// True when the two views may touch a common byte.
bool may_overlap(const TensorView &a, const TensorView &b);

}  // namespace pto::wsp
