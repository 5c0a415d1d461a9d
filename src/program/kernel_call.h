#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "pto/wsp/core/tensor.h"
#include "pto/wsp/kernel/program.h"
#include "pto/wsp/lower/lower.h"

namespace pto::wsp {

/// What a user passes for one parameter: a view for a tile, a number for a scalar.
using KernelArgument = std::variant<TensorView, double, int64_t, uint64_t>;

/// The arguments of one call as code takes them.
struct KernelCall {
    std::vector<lower::ParamLayout> layouts;  ///< one a parameter
    std::vector<int64_t> slots;               ///< see core/abi.h
    bool writes_nothing = false;              ///< every result is empty
};

/// Checks `arguments` against the parameters of `program` and finds the layouts that they need.
/// `symbols` are the values that Symbols have already; parameters whose whole dim is a Symbol give
/// it one, wherever they stand. TypeCheckError at `at` when an argument does not fit.
KernelCall bind_call(const kernel::TileProgram &program,
                     const std::map<std::string, int64_t> &symbols,
                     const std::vector<KernelArgument> &arguments, const Loc &at);

}  // namespace pto::wsp
