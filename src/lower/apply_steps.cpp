#include "apply_steps.h"

#include <array>
#include <set>

#include <fmt/format.h>

#include "pto/wsp/support/error.h"
#include "pto/wsp/support/text.h"
#include "step_applier.h"

namespace pto::wsp::lower {

using schedule::FuncOutline;
using schedule::Outline;
using schedule::Step;

Applier::Applier(const Outline &outline, const RegionFuncs &funcs) : outline_(outline) {
    for (const auto &[name, func] : funcs.funcs) {
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
}

void Applier::apply(const Step &step) {
    step_ = &step;
    Scheduled &target = find(step.func);
    (this->*handlers()[static_cast<size_t>(step.kind)])(target);
}

void Applier::finish() {
    for (auto &[name, target] : funcs_) {
        if (target.placed_by != nullptr) {
            step_ = target.placed_by;
            place(target);
        }
    }
}

const std::array<Applier::Handler, 12> &Applier::handlers() {
    static const std::array<Handler, 12> table = {
        &Applier::tile,      &Applier::split,  &Applier::reorder,    &Applier::fuse,
        &Applier::vectorize, &Applier::unroll, &Applier::compute_at, &Applier::compute_root,
        &Applier::store_in,  &Applier::stage,  &Applier::bound,      &Applier::rfactor,
    };
    return table;
}

void Applier::refuse(const std::string &reason, const std::string &hint) const {
    throw ScheduleError(step_->at, fmt::format("{}: {}", step_->str(), reason), {}, hint);
}

Scheduled &Applier::find(const std::string &name) {
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

std::string Applier::text(const char *key) const {
    return std::get<std::string>(step_->arguments.at(key));
}

int64_t Applier::integer(const char *key, int64_t fallback) const {
    auto it = step_->arguments.find(key);
    return it == step_->arguments.end() ? fallback : std::get<int64_t>(it->second);
}

int Applier::positive(const char *key) const {
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

std::vector<std::string> Applier::loop_names(const Scheduled &target) {
    std::vector<std::string> names;
    for (const Loop &loop : target.loops) {
        names.push_back(loop.name);
    }
    return names;
}

size_t Applier::loop_index(const Scheduled &target, const std::string &name) const {
    for (size_t i = 0; i < target.loops.size(); ++i) {
        if (target.loops[i].name == name) {
            return i;
        }
    }
    refuse(fmt::format("'{}' has no loop '{}'", target.name, name),
           "loops, outermost first: " + join(loop_names(target)));
}

void apply_steps(const schedule::KernelSchedule &schedule, const Outline &outline,
                 const schedule::Region &region, RegionFuncs &funcs) {
    Applier applier(outline, funcs);
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
