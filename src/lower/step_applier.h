#pragma once

#include <array>
#include <map>
#include <string>
#include <vector>

#include <Halide.h>

#include "pto/wsp/schedule/outline.h"
#include "pto/wsp/schedule/step.h"
#include "region_funcs.h"

namespace pto::wsp::lower {

/// One loop of a Func, under the name that steps use.
struct Loop {
    std::string name;
    Halide::VarOrRVar var;
    bool reduction = false;
    int64_t extent = -1;  ///< at most 2^31 - 1; -1: not known
};

/// A Func while steps are applied to it.
struct Scheduled {
    std::string name;
    Halide::Func func;
    const schedule::FuncOutline *outline = nullptr;  ///< null for Funcs that steps made
    std::vector<Loop> loops;                         ///< outermost first
    std::string computed_at;                         ///< consumer, `root` or empty (inlined)
    std::string computed_dim;                        ///< loop of the consumer
    const schedule::Step *placed_by = nullptr;       ///< the last compute_at
    bool staged = false;
    bool updates() const { return func.has_update_definition(); }
    bool is_root() const { return outline != nullptr && outline->is_root(); }
};

/// The Funcs of a region while a schedule is applied to them.
class Applier {
public:
    Applier(const schedule::Outline &outline, const RegionFuncs &funcs);

    /// Applies one step. ScheduleError at its line when it is not legal.
    void apply(const schedule::Step &step);
    /// Whether the region has, by now, a Func of that name.
    bool has(const std::string &func) const { return funcs_.count(func) > 0; }
    /// Places what compute_at placed: which places are legal is known after the last step only, and
    /// a loop means what its name means then.
    void finish();

private:
    using Handler = void (Applier::*)(Scheduled &);

    static const std::array<Handler, 12> &handlers();
    [[noreturn]] void refuse(const std::string &reason, const std::string &hint = "") const;
    Scheduled &find(const std::string &name);
    std::string text(const char *key) const;
    int64_t integer(const char *key, int64_t fallback = 0) const;
    int positive(const char *key) const;
    static std::vector<std::string> loop_names(const Scheduled &target);
    size_t loop_index(const Scheduled &target, const std::string &name) const;

    // Loops of one Func: apply_loops.cpp.
    void check_new(const Scheduled &target, const std::string &name) const;
    /// The static extent of a dim before any split, or -1.
    static int64_t extent(const Scheduled &target, const std::string &dim);
    Halide::TailStrategy tail(const Scheduled &target, const Loop &loop, int factor) const;
    bool reads_what_it_writes(const schedule::FuncOutline &func) const;
    /// Calls `f` with each stage that has all of the loops: an initialisation takes the same pure
    /// steps as its update.
    template <typename F> void each_stage(Scheduled &target, bool reduction, F f);
    void split_loop(Scheduled &target, const std::string &dim, int factor, const std::string &outer,
                    const std::string &inner);
    static Halide::VarOrRVar named(const std::string &name, bool reduction);
    void tile(Scheduled &target);
    void split(Scheduled &target);
    void reorder(Scheduled &target);
    void reorder_loops(Scheduled &target, const std::vector<std::string> &dims);
    void fuse(Scheduled &target);
    void vectorize(Scheduled &target);
    void unroll(Scheduled &target);
    void bound(Scheduled &target);
    void rfactor(Scheduled &target);
    /// The loop named by the step; with `by`, split first and the part inside.
    Loop inner_part(Scheduled &target, const std::string &suffix);

    // Where Funcs are computed and stored: apply_places.cpp.
    void require_inner(const Scheduled &target) const;
    static void compute_func_at(Halide::Func func, const Halide::Func &consumer, const Loop &loop);
    void compute_at(Scheduled &target);
    void place(Scheduled &target);
    /// Index of the loop of `consumer` that `func` is computed in; -1: in none. An inlined func
    /// stands in the innermost loop of each reader.
    int level(const std::string &func, const std::string &consumer) const;
    std::vector<std::string> readers(const std::string &func) const;
    bool reaches(const std::string &consumer, const std::string &producer) const;
    std::vector<std::string> locations(const std::string &producer) const;
    void compute_root(Scheduled &target);
    void store_in(Scheduled &target);
    void stage(Scheduled &target);

    const schedule::Outline &outline_;
    std::map<std::string, Scheduled> funcs_;
    const schedule::Step *step_ = nullptr;
};

}  // namespace pto::wsp::lower
