#pragma once

#include <map>
#include <set>
#include <string>

#include "pto/wsp/core/dtype.h"
#include "pto/wsp/workload/workload.h"

namespace pto::wsp::workload {

/// What the symbol of a workload is, as its uses decide.
struct SymbolUse {
    enum class Kind {
        Integer,  ///< in an expression: a size, a predicate, a subscript, an integer argument
        Address,  ///< nothing but whole arguments for parameters of U64: any 64-bit word
        Float,    ///< nothing but whole arguments for parameters of float types
    };
    Kind kind = Kind::Float;
    std::set<DType> dtypes;  ///< of a Float: of the parameters
    Loc at;                  ///< of a use that makes it what it is
};

/// What values of the kind are called: `an integer`, `an integer or an address`, `a float`.
const char *values_of(SymbolUse::Kind kind);

/// All symbols of a workload, by name. One that is given whole to parameters of floats and used as
/// an integer too is an integer, which the parameters convert.
std::map<std::string, SymbolUse> symbol_uses(const Workload &workload);

}  // namespace pto::wsp::workload
