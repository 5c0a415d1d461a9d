#include "pto/wsp/program/workloads.h"

#include <exception>

#include <fmt/format.h>

#include "building.h"
#include "pto/wsp/support/text.h"

namespace pto::wsp {

std::string LoopScope::name() const {
    if (order_.depth != 0) {
        return "P.pipe";
    }
    return order_.sequential ? "P.seq" : "P";
}

std::vector<AxisVar> LoopScope::open() {
    Building &building = Building::required(name(), at_);
    std::vector<AxisVar> variables;
    for (const AnyAxis &any : axes_) {
        if (!any.table.empty() && (order_.sequential || order_.depth != 0)) {
            throw CompileError(at_, name() + " takes no selected places", {},
                               "P.sel(sparse[b]) in any order");
        }
        variables.push_back(Affine::variable(
            any.table.empty()
                ? building.builder.open_loop(order_, any.axis, {any.axis.name}, at_)
                : building.builder.open_selected(any.axis, any.table, any.first, {}, at_)));
    }
    open_ = true;
    return variables;
}

void LoopScope::close() {
    open_ = false;
    Building &building = Building::required("P", at_);
    for (size_t i = 0; i < axes_.size(); ++i) {
        building.builder.close(at_);
    }
}

LoopScope::~LoopScope() {
    Building *building = Building::current();
    if (!open_ || building == nullptr || building->failure || std::uncaught_exceptions() > 0) {
        return;
    }
    std::vector<std::string> axes;
    for (const AnyAxis &any : axes_) {
        axes.push_back(any.axis.str());
    }
    building->failure.emplace(
        at_, fmt::format("loop {}({}) is left before its end", name(), join(axes)),
        std::vector<Note>{},
        "the body runs once for all iterations, so break and return have no meaning in it");
}

Loop<1> Loops::sel(const AnyAxis &axis, Loc at) const {
    if (axis.table.empty()) {
        throw CompileError(at, fmt::format("P.sel: {} selects no places", axis.axis.str()), {},
                           "P.sel(sparse[b]), with a Sparse");
    }
    return {workload::Builder::Order(), {axis}, std::move(at)};
}

Loop<1> Loops::pipe(const AnyAxis &axis, int64_t depth, Loc at) const {
    if (depth < 1) {
        throw CompileError(at, fmt::format("P.pipe: depth is {}, must be >= 1", depth));
    }
    return {workload::Builder::Order(false, depth), {axis}, std::move(at)};
}

void Loops::when(const ScalarExpr &predicate, const std::function<void()> &body,
                 const Loc &at) const {
    Building &building = Building::required("P.when", at);
    building.builder.open_when(predicate, at);
    body();
    building.builder.close(at);
}

void Loops::otherwise(const std::function<void()> &body, const Loc &at) const {
    Building &building = Building::required("P.otherwise", at);
    building.builder.open_otherwise(at);
    body();
    building.builder.close(at);
}

void slot_set_u64(int64_t slot, const ScalarExpr &value, const Loc &at) {
    Building::required("slot_set_u64", at)
        .builder.set_slot(slot, ScalarExpr::make(ScalarExpr::Op::CastU64, {value}), at);
}

void slot_load_u64(int64_t slot, const Tensor &element, const Loc &at) {
    Building::required("slot_load_u64", at).builder.load_slot(slot, element.region(), at);
}

Workload::Workload(const std::string &name, const std::function<void()> &body,
                   const WorkloadOptions &options, const Loc &at) {
    Building building(name, options.fail_on_type_error, at);
    body();
    if (building.failure) {
        throw CompileError(*building.failure);
    }
    built_ = building.builder.finish();
}

void Workload::operator()(const Loc &at) const {
    Building &building = Building::required("workload '" + name() + "'", at);
    if (!schedule_.empty()) {
        throw CompileError(
            at, fmt::format("'{}' has a schedule of its own: {}", name(), schedule_.str()), {},
            "schedule the whole");
    }
    building.builder.include(built_, at);
}

Workload Workload::with(const schedule::Policy &policy, const Loc &at) const {
    schedule::check_policy(policy, built_, at);
    Workload result = *this;
    result.schedule_ = schedule_.with(policy);
    return result;
}

Workload Workload::with_schedule(const schedule::TaskSchedule &schedule, const Loc &at) const {
    Workload result = *this;
    for (const auto &[part, policy] : schedule.parts()) {
        result = result.with(policy, at);
    }
    return result;
}

namespace {

/// ScheduleError when the policy is of another step.
void expect(const schedule::Policy &policy, bool fits, const char *step, const Loc &at) {
    if (!fits) {
        throw ScheduleError(at, fmt::format("{} takes no policy of {}: {}", step,
                                            schedule::name(policy.part()), policy.str()));
    }
}

}  // namespace

Workload Workload::dispatch(const schedule::Policy &policy, const Loc &at) const {
    expect(policy, policy.part() == schedule::Part::Dispatch, "dispatch", at);
    return with(policy, at);
}

Workload Workload::streams(int64_t count, const Loc &at) const {
    return with(schedule::Policy::make(schedule::Part::Streams, "streams", {{"count", count}}, at),
                at);
}

Workload Workload::stream_by(const Key &key, const Loc &at) const {
    const std::vector<ScalarExpr> keys{key.expr};
    return with(schedule::Policy::make(schedule::Part::StreamBy, "stream_by", {{"key", keys}}, at),
                at);
}

Workload Workload::timing(const schedule::Policy &policy, const Loc &at) const {
    expect(policy, policy.part() == schedule::Part::Timing, "timing", at);
    return with(policy, at);
}

Workload Workload::task_graph(const std::vector<schedule::Policy> &policies, const Loc &at) const {
    Workload result = *this;
    for (const schedule::Policy &policy : policies) {
        expect(policy, schedule::is_of_task_graph(policy.part()), "task_graph", at);
        result = result.with(policy, at);
    }
    return result;
}

Workload Workload::task_graph(int64_t window, const Loc &at) const {
    return with(TaskWindow::stall(window, "tasks", at), at);
}

Workload Workload::spatial_map(const std::vector<int64_t> &grid, const Loc &at) const {
    return with(
        schedule::Policy::make(schedule::Part::SpatialMap, "spatial_map", {{"grid", grid}}, at),
        at);
}

Program Workload::compile(CompileOptions options, const Loc &at) const {
    if (!schedule_.empty()) {
        if (!options.tasks.empty()) {
            throw ScheduleError(at,
                                fmt::format("compile: workload '{}' has the schedule {}, the "
                                            "options another: {}",
                                            name(), schedule_.str(), options.tasks.str()),
                                {}, "give one of them");
        }
        options.tasks = schedule_;
    }
    return pto::wsp::compile(built_, options, at);
}

namespace {

Workload group(const char *name, bool in_order, const std::vector<Workload> &parts, const Loc &at) {
    if (Building::current() != nullptr) {
        throw CompileError(at, fmt::format("{} is used in the body of a workload", name), {},
                           "call the workloads one after another there, or group them outside");
    }
    workload::Builder builder(name, at);
    builder.open_group(in_order, at);
    for (const Workload &part : parts) {
        if (!part.schedule().empty()) {
            throw CompileError(at,
                               fmt::format("{}: '{}' has a schedule of its own: {}", name,
                                           part.name(), part.schedule().str()),
                               {}, fmt::format("schedule the whole: {}(...).dispatch(...)", name));
        }
        builder.include(part.built(), at);
    }
    builder.close(at);
    return Workload(builder.finish());
}

}  // namespace

Workload combine(const std::vector<Workload> &parts, const Loc &at) {
    return group("combine", false, parts, at);
}

Workload sequential(const std::vector<Workload> &parts, const Loc &at) {
    return group("sequential", true, parts, at);
}

}  // namespace pto::wsp
