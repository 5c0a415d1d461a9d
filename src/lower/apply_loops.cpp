#include "step_applier.h"

#include <algorithm>
#include <cctype>
#include <set>

#include <fmt/format.h>

#include "pto/wsp/support/error.h"
#include "pto/wsp/support/text.h"

namespace pto::wsp::lower {

using Halide::TailStrategy;
using Halide::VarOrRVar;
using schedule::FuncOutline;
using schedule::FuncRole;

void Applier::check_new(const Scheduled &target, const std::string &name) const {
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

int64_t Applier::extent(const Scheduled &target, const std::string &dim) {
    if (target.outline == nullptr) {
        return -1;
    }
    const Affine &size = dim == "rows"      ? target.outline->rows
                         : dim == "columns" ? target.outline->columns
                                            : target.outline->reduction;
    return size.as_constant().value_or(-1);
}

TailStrategy Applier::tail(const Scheduled &target, const Loop &loop, int factor) const {
    auto it = step_->arguments.find("tail");
    std::string name = it == step_->arguments.end() ? "auto" : std::get<std::string>(it->second);
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
            refuse(fmt::format("shifting the last tile of {} needs an extent of at least {} and "
                               "data that is not updated in place",
                               loop.name, factor),
                   "tails that fit: guard, predicate");
        }
        return TailStrategy::ShiftInwards;
    }
    refuse(fmt::format("unknown tail '{}'", name),
           "tails: auto, guard, round_up, shift, predicate");
}

bool Applier::reads_what_it_writes(const FuncOutline &func) const {
    return func.role == FuncRole::Store &&
           std::any_of(outline_.in_place.begin(), outline_.in_place.end(),
                       [](bool in_place) { return in_place; });
}

template <typename F> void Applier::each_stage(Scheduled &target, bool reduction, F f) {
    if (!reduction) {
        f(static_cast<Halide::Stage>(target.func));
    }
    if (target.updates()) {
        f(target.func.update(0));
    }
}

void Applier::split_loop(Scheduled &target, const std::string &dim, int factor,
                         const std::string &outer, const std::string &inner) {
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

VarOrRVar Applier::named(const std::string &name, bool reduction) {
    return reduction ? VarOrRVar(Halide::RVar(halide_name(name)))
                     : VarOrRVar(Halide::Var(halide_name(name)));
}

void Applier::tile(Scheduled &target) {
    split_loop(target, "rows", positive("rows"), "rows.o", "rows.i");
    split_loop(target, "columns", positive("columns"), "columns.o", "columns.i");
    reorder_loops(target, {"rows.o", "columns.o", "rows.i", "columns.i"});
}

void Applier::split(Scheduled &target) {
    check_new(target, text("outer"));
    check_new(target, text("inner"));
    if (halide_name(text("outer")) == halide_name(text("inner"))) {
        refuse(fmt::format("'outer' and 'inner' are both '{}'", text("inner")));
    }
    split_loop(target, text("dim"), positive("by"), text("outer"), text("inner"));
}

void Applier::reorder(Scheduled &target) {
    reorder_loops(target, std::get<std::vector<std::string>>(step_->arguments.at("dims")));
}

void Applier::reorder_loops(Scheduled &target, const std::vector<std::string> &dims) {
    std::vector<size_t> places;
    places.reserve(dims.size());
    for (const std::string &dim : dims) {
        places.push_back(loop_index(target, dim));
    }
    if (std::set<size_t>(places.begin(), places.end()).size() != places.size()) {
        refuse("a loop is named twice");
    }
    std::vector<Loop> order;
    order.reserve(places.size());
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

void Applier::fuse(Scheduled &target) {
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

void Applier::vectorize(Scheduled &target) {
    const Loop loop = inner_part(target, ".v");
    if (loop.reduction) {
        target.func.update(0).atomic().vectorize(loop.var);
        return;
    }
    each_stage(target, false, [&](Halide::Stage stage) { stage.vectorize(loop.var); });
}

void Applier::unroll(Scheduled &target) {
    const Loop loop = inner_part(target, ".u");
    each_stage(target, loop.reduction, [&](Halide::Stage stage) { stage.unroll(loop.var); });
}

Loop Applier::inner_part(Scheduled &target, const std::string &suffix) {
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

void Applier::bound(Scheduled &target) {
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

void Applier::rfactor(Scheduled &target) {
    size_t at = loop_index(target, text("dim"));
    if (!target.loops[at].reduction) {
        refuse(fmt::format("'{}' is not a reduction", text("dim")), "reductions have the dim k");
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

}  // namespace pto::wsp::lower
