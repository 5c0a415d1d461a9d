#pragma once

#include <map>
#include <string>
#include <variant>
#include <vector>

#include "pto/wsp/support/error.h"
#include "pto/wsp/support/json.h"

namespace pto::wsp::schedule {

/// What a split does where its factor does not divide the extent.
enum class Tail {
    Auto,          ///< guard, except on a Func that only this kernel sees, where it rounds up
    GuardWithIf,   ///< compute only what is needed
    RoundUp,       ///< compute more; refused where that would leave a parameter's bounds
    ShiftInwards,  ///< the last tile overlaps the one before; refused on carried or in-place data
    Predicate,     ///< masked loads and stores
};

/// The steps inside a kernel. `before --> after` of each stands in `steps.cpp`'s table.
enum class StepKind {
    Tile,
    Split,
    Reorder,
    Fuse,
    Vectorize,
    Unroll,
    ComputeAt,
    ComputeRoot,
    StoreIn,
    Stage,
    Bound,
    Rfactor,
};

/// A value of a step's argument: number, name or list of names.
using StepValue = std::variant<int64_t, std::string, std::vector<std::string>>;

/// One step, addressed to a Func by its stable name. As JSON:
/// `["split", "matmul0", {"dim": "rows", "by": 48, "outer": "block", "inner": "row",
/// "tail": "guard"}]`.
struct Step {
    StepKind kind;
    std::string func;
    std::map<std::string, StepValue> arguments;
    Loc at;

    std::string str() const;
    Json json() const;
    bool operator==(const Step &other) const {
        return kind == other.kind && func == other.func && arguments == other.arguments;
    }
};

/// An immutable list of steps; every combinator returns a new one.
class KernelSchedule {
public:
    KernelSchedule() = default;
    explicit KernelSchedule(std::vector<Step> steps) : steps_(std::move(steps)) {}

    const std::vector<Step> &steps() const { return steps_; }
    KernelSchedule then(Step step) const;

    KernelSchedule tile(const std::string &func, int64_t rows, int64_t columns,
                        Loc at = Loc::here()) const;
    KernelSchedule split(const std::string &func, const std::string &dim, int64_t by,
                         const std::string &outer, const std::string &inner, Tail tail = Tail::Auto,
                         Loc at = Loc::here()) const;
    /// `dims` outermost first.
    KernelSchedule reorder(const std::string &func, std::vector<std::string> dims,
                           Loc at = Loc::here()) const;
    KernelSchedule fuse(const std::string &func, const std::string &outer, const std::string &inner,
                        const std::string &into, Loc at = Loc::here()) const;
    KernelSchedule vectorize(const std::string &func, const std::string &dim, int64_t by = 0,
                             Tail tail = Tail::Auto, Loc at = Loc::here()) const;
    KernelSchedule unroll(const std::string &func, const std::string &dim, int64_t by = 0,
                          Tail tail = Tail::Auto, Loc at = Loc::here()) const;
    KernelSchedule compute_at(const std::string &func, const std::string &consumer,
                              const std::string &dim, Loc at = Loc::here()) const;
    KernelSchedule compute_root(const std::string &func, Loc at = Loc::here()) const;
    KernelSchedule store_in(const std::string &func, const std::string &memory,
                            Loc at = Loc::here()) const;
    /// A copy of what `consumer` reads of `func`, made at the consumer's loop `dim` (or `root`).
    KernelSchedule stage(const std::string &func, const std::string &consumer,
                         const std::string &dim, Loc at = Loc::here()) const;
    KernelSchedule bound(const std::string &func, const std::string &dim, int64_t extent,
                         Loc at = Loc::here()) const;
    /// Reassociating: partial sums over `by` lanes of reduction `dim`.
    KernelSchedule rfactor(const std::string &func, const std::string &dim, int64_t by,
                           Loc at = Loc::here()) const;

    Json json() const;
    static KernelSchedule parse(const Json &json, const std::string &origin);
    std::string str() const;
    bool operator==(const KernelSchedule &) const = default;

private:
    std::vector<Step> steps_;
};

}  // namespace pto::wsp::schedule
