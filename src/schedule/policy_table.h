#pragma once

#include <array>
#include <optional>
#include <span>

#include "pto/wsp/schedule/policy.h"

namespace pto::wsp::schedule {

/// What kind of value an argument takes.
enum class ArgumentKind {
    None,     ///< no argument
    Count,    ///< an integer >= 1
    Share,    ///< as Count; 0 when left out
    Size,     ///< as Count, at most 2^24
    Rate,     ///< a number > 0
    Flag,     ///< true or false
    Unit,     ///< "tasks" or "bytes"
    Key,      ///< an expression over names of loop variables
    Keys,     ///< one or more of these
    Counts,   ///< one or more integers >= 1
    Edges,    ///< given dependences
    Kernels,  ///< numbers from 0 on, by names of kernels
};

/// An argument of a policy: one that may be left out is a Share, a Flag, or has `fallback`.
struct ArgumentRow {
    const char *name = nullptr;
    ArgumentKind kind = ArgumentKind::None;
    int64_t fallback = 0;  ///< of a Count; 0: it must be given
};

/// One policy.
struct PolicyRow {
    Part part;
    const char *name;
    std::array<ArgumentRow, 3> arguments;

    std::span<const ArgumentRow> given() const {
        size_t count = 0;
        while (count < arguments.size() && arguments[count].kind != ArgumentKind::None) {
            ++count;
        }
        return {arguments.data(), count};
    }
};

/// All policies of `part`, of every part together: the whole table.
std::span<const PolicyRow> policy_table();

/// True when the part has one policy only, whose name is not written.
bool has_one_policy(Part part);

/// Most tasks or in a window that counts them.
inline constexpr int64_t largest_window = int64_t{1} << 24;

}  // namespace pto::wsp::schedule
