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
        variables.push_back(
            Affine::variable(building.builder.open_loop(order_, any.axis, {any.axis.name}, at_)));
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

schedule::Dispatch DispatchPolicy::round_robin(int64_t num_aicpus, const Loc &at) {
    if (num_aicpus < 1) {
        throw ScheduleError(
            at, fmt::format("DispatchPolicy.round_robin: expected an integer >= 1, got {}",
                            num_aicpus));
    }
    schedule::Dispatch made;
    made.policy = schedule::Dispatch::Policy::RoundRobin;
    made.lanes = num_aicpus;
    return made;
}

schedule::Dispatch DispatchPolicy::affinity(const Key &key) {
    schedule::Dispatch made;
    made.policy = schedule::Dispatch::Policy::Affinity;
    made.key = key.expr;
    return made;
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
    if (schedule_ != schedule::TaskSchedule()) {
        throw CompileError(
            at, fmt::format("'{}' has a schedule of its own: {}", name(), schedule_.str()), {},
            "schedule the whole");
    }
    building.builder.include(built_, at);
}

Workload Workload::dispatch(const schedule::Dispatch &policy, const Loc &at) const {
    Workload result = *this;
    result.schedule_.dispatch = policy;
    schedule::TaskSchedule step;
    step.dispatch = policy;
    schedule::check_task_schedule(step, built_, at);
    return result;
}

Workload Workload::streams(int64_t count, const Loc &at) const {
    if (count < 1) {
        throw ScheduleError(at, fmt::format("streams: expected an integer >= 1, got {}", count));
    }
    Workload result = *this;
    result.schedule_.streams = count;
    return result;
}

Workload Workload::stream_by(const Key &key, const Loc &at) const {
    Workload result = *this;
    result.schedule_.stream_key = key.expr;
    // Streams may be counted later; the key is checked now, at its line.
    schedule::TaskSchedule step;
    step.streams = 1;
    step.stream_key = key.expr;
    schedule::check_task_schedule(step, built_, at);
    return result;
}

Workload Workload::task_graph(int64_t window, const Loc &at) const {
    if (window < 1) {
        throw ScheduleError(at, fmt::format("task_graph: the window is {}, must be >= 1", window));
    }
    Workload result = *this;
    result.schedule_.window = window;
    schedule::TaskSchedule step;
    step.window = window;
    schedule::check_task_schedule(step, built_, at);
    return result;
}

Program Workload::compile(CompileOptions options, const Loc &at) const {
    if (schedule_ != schedule::TaskSchedule()) {
        if (options.tasks != schedule::TaskSchedule()) {
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
        if (part.schedule() != schedule::TaskSchedule()) {
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
