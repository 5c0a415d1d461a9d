#include "apply_steps.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <limits>
#include <set>

#include <fmt/format.h>

#include "pto/wsp/support/error.h"
#include "pto/wsp/support/text.h"

namespace pto::wsp::lower {

using Halide::TailStrategy;
using Halide::VarOrRVar;
using schedule::FuncOutline;
using schedule::FuncRole;
using schedule::Outline;
using schedule::Step;
using schedule::StepKind;

namespace {

/// One loop of a Func, under the name that steps use.
struct Loop {
    std::string name;
    VarOrRVar var;
    bool reduction = false;
    int64_t extent = -1;  ///< at most 2^31 - 1; -1: not known
};

/// A Func while steps are applied to it.
struct Scheduled {
    std::string name;
    Halide::Func func;
    const FuncOutline *outline = nullptr;  ///< null for Funcs that steps made
    std::vector<Loop> loops;               ///< outermost first
    std::string computed_at;               ///< consumer, `root` or empty (inlined)
    std::string computed_dim;              ///< loop of the consumer
    const Step *placed_by = nullptr;       ///< the last compute_at
    bool staged = false;
    bool updates() const { return func.has_update_definition(); }
    bool is_root() const { return outline != nullptr && outline->is_root(); }
};

class Applier {
public:
    Applier(const Outline &outline, const schedule::Region &region, RegionFuncs &funcs)
        : outline_(outline) {
        for (auto &[name, func] : funcs.funcs) {
            Scheduled scheduled;
            scheduled.name = name;
            scheduled.func = func;
            scheduled.outline = outline.find(name);
            for (const char *dim : {"rows", "columns"}) {
                scheduled.loops.push_back({dim, Halide::Var(dim), false, extent(scheduled, dim)});
            }
            if (func.has_update_definition()) {
                scheduled.loops.push_back({"k", func.rvars(0)[0], true, extent(scheduled, "k")});
            }
            funcs_.emplace(name, std::move(scheduled));
        }
        (void)region;
    }

    void apply(const Step &step) {
        step_ = &step;
        Scheduled &target = find(step.func);
        (this->*handlers()[static_cast<size_t>(step.kind)])(target);
    }

    bool has(const std::string &func) const { return funcs_.count(func) > 0; }

    /// Places what compute_at placed: which places are legal is known after the last step only, and
    /// a loop means what its name means then.
    void finish() {
        for (auto &[name, target] : funcs_) {
            if (target.placed_by != nullptr) {
                step_ = target.placed_by;
                place(target);
            }
        }
    }

private:
    using Handler = void (Applier::*)(Scheduled &);

    static const std::array<Handler, 12> &handlers() {
        static const std::array<Handler, 12> table = {
            &Applier::tile,      &Applier::split,  &Applier::reorder,    &Applier::fuse,
            &Applier::vectorize, &Applier::unroll, &Applier::compute_at, &Applier::compute_root,
            &Applier::store_in,  &Applier::stage,  &Applier::bound,      &Applier::rfactor,
        };
        return table;
    }

    [[noreturn]] void refuse(const std::string &reason, const std::string &hint = "") const {
        throw ScheduleError(step_->at, fmt::format("{}: {}", step_->str(), reason), {}, hint);
    }

    Scheduled &find(const std::string &name) {
        auto it = funcs_.find(name);
        if (it == funcs_.end()) {
            std::vector<std::string> names;
            for (const auto &[known, scheduled] : funcs_) {
                names.push_back(known);
            }
            refuse(fmt::format("there is no func '{}' here", name), "funcs: " + join(names));
        }
        return it->second;
    }

    std::string text(const char *key) const {
        return std::get<std::string>(step_->arguments.at(key));
    }

    int64_t integer(const char *key, int64_t fallback = 0) const {
        auto it = step_->arguments.find(key);
        return it == step_->arguments.end() ? fallback : std::get<int64_t>(it->second);
    }

    int positive(const char *key) const {
        constexpr int64_t most = 1 << 20;
        int64_t value = integer(key);
        if (value < 1) {
            refuse(fmt::format("'{}' is {}, not at least 1", key, value));
        }
        if (value > most) {
            refuse(fmt::format("'{}' is {}, more than {}", key, value, most));
        }
        return static_cast<int>(value);
    }

    static std::vector<std::string> loop_names(const Scheduled &target) {
        std::vector<std::string> names;
        for (const Loop &loop : target.loops) {
            names.push_back(loop.name);
        }
        return names;
    }

    size_t loop_index(const Scheduled &target, const std::string &name) const {
        for (size_t i = 0; i < target.loops.size(); ++i) {
            if (target.loops[i].name == name) {
                return i;
            }
        }
        refuse(fmt::format("'{}' has no loop '{}'", target.name, name),
               "loops, outermost first: " + join(loop_names(target)));
    }

    void check_new(const Scheduled &target, const std::string &name) const {
        auto fits = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; };
        bool letter = !name.empty() && std::isalpha(static_cast<unsigned char>(name[0]));
        if (!letter ||
            !std::all_of(name.begin(), name.end(), [&](char c) { return fits(c) || c == '.'; })) {
            refuse(fmt::format("{} is no name of a loop", quoted(name)),
                   "a letter, then letters, digits, dots and underscores");
        }
        for (const Loop &loop : target.loops) {
            if (halide_name(loop.name) == halide_name(name)) {
                refuse(fmt::format("'{}' already has a loop '{}'", target.name, name));
            }
        }
    }

    /// The static extent of a dim before any split, or -1.
    static int64_t extent(const Scheduled &target, const std::string &dim) {
        if (target.outline == nullptr) {
            return -1;
        }
        const Affine &size = dim == "rows"      ? target.outline->rows
                             : dim == "columns" ? target.outline->columns
                                                : target.outline->reduction;
        return size.as_constant().value_or(-1);
    }

    TailStrategy tail(const Scheduled &target, const Loop &loop, int factor) const {
        auto it = step_->arguments.find("tail");
        std::string name =
            it == step_->arguments.end() ? "auto" : std::get<std::string>(it->second);
        if (name == "auto") {
            return target.updates() || target.is_root() ? TailStrategy::GuardWithIf
                                                        : TailStrategy::RoundUp;
        }
        if (name == "guard") {
            return TailStrategy::GuardWithIf;
        }
        if (name == "predicate") {
            return TailStrategy::Predicate;
        }
        if (name == "round_up") {
            bool leaves = loop.extent < 0 || loop.extent % factor != 0;
            if ((target.is_root() || target.updates()) && leaves) {
                refuse(fmt::format("rounding {} up to a multiple of {} would leave '{}'", loop.name,
                                   factor, target.name),
                       "tails that fit: guard, predicate");
            }
            return target.updates() ? TailStrategy::GuardWithIf : TailStrategy::RoundUp;
        }
        if (name == "shift") {
            bool repeats = target.outline != nullptr && reads_what_it_writes(*target.outline);
            if (repeats || target.updates() || loop.extent < factor) {
                refuse(
                    fmt::format("shifting the last tile of {} needs an extent of at least {} and "
                                "data that is not updated in place",
                                loop.name, factor),
                    "tails that fit: guard, predicate");
            }
            return TailStrategy::ShiftInwards;
        }
        refuse(fmt::format("unknown tail '{}'", name),
               "tails: auto, guard, round_up, shift, predicate");
    }

    bool reads_what_it_writes(const FuncOutline &func) const {
        return func.role == FuncRole::Store &&
               std::any_of(outline_.in_place.begin(), outline_.in_place.end(),
                           [](bool in_place) { return in_place; });
    }

    /// Calls `f` with each stage that has all of the loops: an initialisation takes the same pure
    /// steps as its update.
    template <typename F> void each_stage(Scheduled &target, bool reduction, F f) {
        if (!reduction) {
            f(static_cast<Halide::Stage>(target.func));
        }
        if (target.updates()) {
            f(target.func.update(0));
        }
    }

    void split_loop(Scheduled &target, const std::string &dim, int factor, const std::string &outer,
                    const std::string &inner) {
        size_t at = loop_index(target, dim);
        Loop loop = target.loops[at];
        TailStrategy strategy = tail(target, loop, factor);
        int64_t tiles = loop.extent < 0 ? -1 : (loop.extent + factor - 1) / factor;
        Loop out{outer, named(outer, loop.reduction), loop.reduction, tiles};
        Loop in{inner, named(inner, loop.reduction), loop.reduction, factor};
        each_stage(target, loop.reduction, [&](Halide::Stage stage) {
            stage.split(loop.var, out.var, in.var, factor, strategy);
        });
        target.loops[at] = out;
        target.loops.insert(target.loops.begin() + static_cast<std::ptrdiff_t>(at) + 1, in);
    }

    static VarOrRVar named(const std::string &name, bool reduction) {
        return reduction ? VarOrRVar(Halide::RVar(halide_name(name)))
                         : VarOrRVar(Halide::Var(halide_name(name)));
    }

    void tile(Scheduled &target) {
        split_loop(target, "rows", positive("rows"), "rows.o", "rows.i");
        split_loop(target, "columns", positive("columns"), "columns.o", "columns.i");
        reorder_loops(target, {"rows.o", "columns.o", "rows.i", "columns.i"});
    }

    void split(Scheduled &target) {
        check_new(target, text("outer"));
        check_new(target, text("inner"));
        if (halide_name(text("outer")) == halide_name(text("inner"))) {
            refuse(fmt::format("'outer' and 'inner' are both '{}'", text("inner")));
        }
        split_loop(target, text("dim"), positive("by"), text("outer"), text("inner"));
    }

    void reorder(Scheduled &target) {
        reorder_loops(target, std::get<std::vector<std::string>>(step_->arguments.at("dims")));
    }

    void reorder_loops(Scheduled &target, const std::vector<std::string> &dims) {
        std::vector<size_t> places;
        for (const std::string &dim : dims) {
            places.push_back(loop_index(target, dim));
        }
        if (std::set<size_t>(places.begin(), places.end()).size() != places.size()) {
            refuse("a loop is named twice");
        }
        std::vector<Loop> order;
        for (size_t place : places) {
            order.push_back(target.loops[place]);
        }
        std::sort(places.begin(), places.end());
        for (size_t i = 0; i < places.size(); ++i) {
            target.loops[places[i]] = order[i];
        }
        std::vector<VarOrRVar> innermost_first;
        std::vector<VarOrRVar> pure;
        for (size_t i = order.size(); i-- > 0;) {
            innermost_first.push_back(order[i].var);
            if (!order[i].reduction) {
                pure.push_back(order[i].var);
            }
        }
        static_cast<Halide::Stage>(target.func).reorder(pure);
        if (target.updates()) {
            target.func.update(0).reorder(innermost_first);
        }
    }

    void fuse(Scheduled &target) {
        size_t outer = loop_index(target, text("outer"));
        size_t inner = loop_index(target, text("inner"));
        Loop a = target.loops[outer];
        Loop b = target.loops[inner];
        if (inner != outer + 1 || a.reduction != b.reduction) {
            refuse("only a loop and the one right inside it, of one kind, can be fused",
                   "loops, outermost first: " + join(loop_names(target)));
        }
        check_new(target, text("into"));
        bool known = a.extent >= 0 && b.extent >= 0 && a.extent * b.extent <= INT32_MAX;
        int64_t places = known ? a.extent * b.extent : -1;
        Loop fused{text("into"), named(text("into"), a.reduction), a.reduction, places};
        each_stage(target, a.reduction,
                   [&](Halide::Stage stage) { stage.fuse(b.var, a.var, fused.var); });
        target.loops[outer] = fused;
        target.loops.erase(target.loops.begin() + static_cast<std::ptrdiff_t>(inner));
    }

    void vectorize(Scheduled &target) {
        const Loop loop = inner_part(target, ".v");
        if (loop.reduction) {
            target.func.update(0).atomic().vectorize(loop.var);
            return;
        }
        each_stage(target, false, [&](Halide::Stage stage) { stage.vectorize(loop.var); });
    }

    void unroll(Scheduled &target) {
        const Loop loop = inner_part(target, ".u");
        each_stage(target, loop.reduction, [&](Halide::Stage stage) { stage.unroll(loop.var); });
    }

    /// The loop named by the step; with `by`, split first and the part inside.
    Loop inner_part(Scheduled &target, const std::string &suffix) {
        std::string dim = text("dim");
        if (integer("by") == 0) {
            return target.loops[loop_index(target, dim)];
        }
        std::string inner = dim + suffix;
        check_new(target, inner);
        split_loop(target, dim, positive("by"), dim + ".o" + suffix, inner);
        // The outer part keeps the name that later steps know.
        size_t outer = loop_index(target, dim + ".o" + suffix);
        target.loops[outer].name = dim;
        return target.loops[loop_index(target, inner)];
    }

    void require_inner(const Scheduled &target) const {
        if (target.is_root()) {
            refuse(fmt::format("'{}' writes the kernel's result; it is always at the root",
                               target.name));
        }
    }

    static void compute_func_at(Halide::Func func, const Halide::Func &consumer, const Loop &loop) {
        if (loop.reduction) {
            func.compute_at(consumer, loop.var.rvar);
        } else {
            func.compute_at(consumer, loop.var.var);
        }
    }

    void compute_at(Scheduled &target) {
        require_inner(target);
        Scheduled &consumer = find(text("consumer"));
        loop_index(consumer, text("dim"));
        if (!reaches(consumer.name, target.name)) {
            refuse(fmt::format("'{}' does not read '{}'", consumer.name, target.name),
                   "legal: " + join(locations(target.name)));
        }
        target.computed_at = consumer.name;
        target.computed_dim = text("dim");
        target.placed_by = step_;
    }

    void place(Scheduled &target) {
        Scheduled &consumer = find(target.computed_at);
        size_t at = loop_index(consumer, target.computed_dim);
        bool inlined = consumer.computed_at.empty() && !consumer.is_root() && !consumer.updates();
        if (inlined) {
            refuse(fmt::format("'{}' has no loops: it is computed where it is used", consumer.name),
                   fmt::format("place '{}' by compute_root or compute_at", consumer.name));
        }
        if (target.outline != nullptr && !target.staged) {
            for (const std::string &reader : readers(target.name)) {
                if (level(reader, consumer.name) < static_cast<int>(at)) {
                    refuse(fmt::format("'{}' reads it outside of '{}.{}'", reader, consumer.name,
                                       target.computed_dim),
                           "legal: compute_root, or " + join(locations(reader)));
                }
            }
        }
        compute_func_at(target.func, consumer.func, consumer.loops[at]);
    }

    /// Index of the loop of `consumer` that `func` is computed in; -1: in none. An inlined func
    /// stands in the innermost loop of each reader.
    int level(const std::string &func, const std::string &consumer) const {
        if (func == consumer) {
            return std::numeric_limits<int>::max();
        }
        const Scheduled &scheduled = funcs_.at(func);
        if (scheduled.computed_at == "root" || scheduled.is_root()) {
            return -1;
        }
        if (scheduled.computed_at == consumer) {
            return static_cast<int>(loop_index(funcs_.at(consumer), scheduled.computed_dim));
        }
        if (!scheduled.computed_at.empty()) {
            return level(scheduled.computed_at, consumer);
        }
        int least = std::numeric_limits<int>::max();
        for (const std::string &reader : readers(func)) {
            least = std::min(least, level(reader, consumer));
        }
        return least;
    }

    std::vector<std::string> readers(const std::string &func) const {
        std::vector<std::string> result;
        for (const auto &[name, scheduled] : funcs_) {
            if (scheduled.outline != nullptr) {
                const std::vector<std::string> &reads = scheduled.outline->reads;
                if (std::find(reads.begin(), reads.end(), func) != reads.end()) {
                    result.push_back(name);
                }
            }
        }
        return result;
    }

    bool reaches(const std::string &consumer, const std::string &producer) const {
        auto it = funcs_.find(consumer);
        if (it == funcs_.end() || it->second.outline == nullptr) {
            return true;
        }
        if (producer == consumer + ".partial") {
            return true;
        }
        const std::vector<std::string> &reads = it->second.outline->reads;
        return std::any_of(reads.begin(), reads.end(), [&](const std::string &read) {
            return read == producer || producer == read + ".staged" || reaches(read, producer);
        });
    }

    std::vector<std::string> locations(const std::string &producer) const {
        std::vector<std::string> result;
        for (const auto &[name, scheduled] : funcs_) {
            if (name != producer && scheduled.outline != nullptr && reaches(name, producer)) {
                for (const Loop &loop : scheduled.loops) {
                    result.push_back(name + "." + loop.name);
                }
            }
        }
        return result;
    }

    void compute_root(Scheduled &target) {
        require_inner(target);
        target.func.compute_root();
        target.computed_at = "root";
        target.placed_by = nullptr;
    }

    void store_in(Scheduled &target) {
        require_inner(target);
        std::string memory = text("memory");
        if (memory == "heap") {
            target.func.store_in(Halide::MemoryType::Heap);
        } else if (memory == "stack") {
            target.func.store_in(Halide::MemoryType::Stack);
        } else if (memory == "register") {
            target.func.store_in(Halide::MemoryType::Register);
        } else {
            refuse(fmt::format("unknown memory '{}'", memory), "memories: heap, stack, register");
        }
    }

    void stage(Scheduled &target) {
        require_inner(target);
        Scheduled &consumer = find(text("consumer"));
        if (!reaches(consumer.name, target.name)) {
            refuse(fmt::format("'{}' does not read '{}'", consumer.name, target.name),
                   "legal: " + join(locations(target.name)));
        }
        Scheduled copy;
        copy.name = target.name + ".staged";
        if (funcs_.count(copy.name) > 0) {
            refuse(fmt::format("'{}' is staged already", target.name));
        }
        copy.func = target.func.in(consumer.func);
        copy.loops = {{"rows", Halide::Var("rows")}, {"columns", Halide::Var("columns")}};
        if (text("dim") == "root") {
            copy.func.compute_root();
            copy.computed_at = "root";
        } else {
            loop_index(consumer, text("dim"));
            copy.computed_at = consumer.name;
            copy.computed_dim = text("dim");
            copy.placed_by = step_;
        }
        target.staged = true;
        funcs_.emplace(copy.name, copy);
    }

    void bound(Scheduled &target) {
        std::string dim = text("dim");
        int64_t size = extent(target, dim);
        if ((dim != "rows" && dim != "columns") || size != integer("extent")) {
            refuse(fmt::format("{} of '{}' cannot be proven to be {}", dim, target.name,
                               integer("extent")),
                   size < 0 ? "its size is known at run time only"
                            : fmt::format("its size is {}", size));
        }
        target.func.bound(Halide::Var(dim), 0, static_cast<int32_t>(size));
    }

    void rfactor(Scheduled &target) {
        size_t at = loop_index(target, text("dim"));
        if (!target.loops[at].reduction) {
            refuse(fmt::format("'{}' is not a reduction", text("dim")),
                   "reductions have the dim k");
        }
        int factor = positive("by");
        Scheduled partial;
        partial.name = target.name + ".partial";
        if (funcs_.count(partial.name) > 0) {
            refuse(fmt::format("'{}' has partial sums already", target.name));
        }
        Halide::RVar outer("k_o");
        Halide::RVar inner("k_i");
        Halide::Var lane("lane");
        Halide::Stage update = target.func.update(0);
        update.split(target.loops[at].var, outer, inner, factor, TailStrategy::GuardWithIf);
        partial.func = update.rfactor({{inner, lane}});
        partial.loops = {{"lane", lane},
                         {"rows", Halide::Var("rows")},
                         {"columns", Halide::Var("columns")},
                         {"k.o", outer, true}};
        target.loops[at] = {"k.i", inner, true, factor};
        funcs_.emplace(partial.name, partial);
    }

    const Outline &outline_;
    std::map<std::string, Scheduled> funcs_;
    const Step *step_ = nullptr;
};

}  // namespace

void apply_steps(const schedule::KernelSchedule &schedule, const Outline &outline,
                 const schedule::Region &region, RegionFuncs &funcs) {
    Applier applier(outline, region, funcs);
    std::set<std::string> elsewhere;
    for (const FuncOutline &func : outline.funcs) {
        if (func.region != region.index) {
            elsewhere.insert(func.name);
        }
    }
    for (const Step &step : schedule.steps()) {
        bool other = elsewhere.count(step.func) > 0;
        size_t dot = step.func.rfind('.');
        if (!applier.has(step.func) && dot != std::string::npos) {
            other = other || elsewhere.count(step.func.substr(0, dot)) > 0;
        }
        if (applier.has(step.func) || !other) {
            applier.apply(step);
        }
    }
    applier.finish();
}

}  // namespace pto::wsp::lower
