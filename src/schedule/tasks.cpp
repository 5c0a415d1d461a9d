#include "pto/wsp/schedule/tasks.h"

#include <algorithm>
#include <set>

#include "pto/wsp/support/text.h"
#include "pto/wsp/workload/names.h"

namespace pto::wsp::schedule {

namespace {

/// Reads the steps of a schedule file and says what is wrong with them.
class StepReader {
public:
    explicit StepReader(std::string origin) : origin_(std::move(origin)) {}

    TaskSchedule read(const Json &steps) {
        if (!steps.is_array()) {
            fail("expected a list of steps, got " + steps.dump());
        }
        for (const Json &step : steps) {
            if (!step.is_array() || step.size() != 2 || !step[0].is_string() ||
                !step[1].is_object()) {
                fail("expected a step [name, {...}], got " + step.dump());
            }
            read_step(step[0].get<std::string>(), step[1]);
        }
        return std::move(schedule_);
    }

private:
    void read_step(const std::string &name, const Json &arguments) {
        known(name, {"dispatch", "streams", "stream_by", "task_graph"}, "step");
        if (!seen_.insert(name).second) {
            fail("step " + name + " is given twice");
        }
        step_ = name;
        if (name == "dispatch") {
            read_dispatch(arguments);
        } else if (name == "streams") {
            only(arguments, {"count"});
            schedule_.streams = count(arguments, "count");
        } else if (name == "task_graph") {
            only(arguments, {"window"});
            schedule_.window = count(arguments, "window");
        } else {
            only(arguments, {"key"});
            schedule_.stream_key = key(arguments);
        }
    }

    void read_dispatch(const Json &arguments) {
        const Json &policy = value(arguments, "policy");
        if (!policy.is_string()) {
            fail(step_ + ": policy must be a name, is " + policy.dump());
        }
        const auto name = policy.get<std::string>();
        known(name, {"round_robin", "affinity"}, "policy");
        Dispatch dispatch;
        if (name == "round_robin") {
            only(arguments, {"policy", "lanes"});
            dispatch.lanes = count(arguments, "lanes");
        } else {
            only(arguments, {"policy", "key"});
            dispatch.policy = Dispatch::Policy::Affinity;
            dispatch.key = key(arguments);
        }
        schedule_.dispatch = dispatch;
    }

    const Json &value(const Json &arguments, const char *name) const {
        const auto found = arguments.find(name);
        if (found == arguments.end()) {
            fail(step_ + ": " + name + " is missing");
        }
        return *found;
    }

    int64_t count(const Json &arguments, const char *name) const {
        const Json &number = value(arguments, name);
        const bool fits = number.is_number_integer() && number.get<int64_t>() >= 1;
        if (!fits || (number.is_number_unsigned() && number.get<uint64_t>() > INT64_MAX)) {
            fail(step_ + ": " + name + " must be an integer >= 1, is " + number.dump());
        }
        return number.get<int64_t>();
    }

    ScalarExpr key(const Json &arguments) const {
        const Json &text = value(arguments, "key");
        if (!text.is_string()) {
            fail(step_ + ": key must be an expression in quotes, is " + text.dump());
        }
        try {
            return ScalarExpr::parse(text.get<std::string>(), origin_);
        } catch (const IRConversionError &error) {
            fail(step_ + ": key " + text.dump() + ": " + error.text());
        }
    }

    void only(const Json &arguments, const std::vector<std::string> &names) const {
        for (const auto &[name, argument] : arguments.items()) {
            known(name, names, step_ + " key");
        }
    }

    void known(const std::string &name, const std::vector<std::string> &names,
               const std::string &what) const {
        if (std::ranges::find(names, name) != names.end()) {
            return;
        }
        const std::string nearest = nearest_name(name, names);
        fail("unknown " + what + " " + quoted(name),
             (nearest.empty() ? "" : "did you mean " + nearest + "? ") + "known: " + join(names));
    }

    [[noreturn]] void fail(const std::string &text, const std::string &hint = "") const {
        throw ScheduleError({}, origin_ + ": " + text, {}, hint);
    }

    std::string origin_;
    std::string step_;
    std::set<std::string> seen_;
    TaskSchedule schedule_;
};

constexpr int64_t largest_window = int64_t{1} << 24;

void check_count(int64_t count, const std::string &what, const Loc &at) {
    if (count < 1) {
        throw ScheduleError(at, what + ": expected at least 1, got " + std::to_string(count));
    }
}

}  // namespace

Json TaskSchedule::json() const {
    Json steps = Json::array();
    if (dispatch) {
        Json arguments;
        if (dispatch->policy == Dispatch::Policy::RoundRobin) {
            arguments = {{"policy", "round_robin"}, {"lanes", dispatch->lanes}};
        } else {
            arguments = {{"policy", "affinity"}, {"key", dispatch->key.str()}};
        }
        steps.push_back(Json::array({"dispatch", arguments}));
    }
    if (streams != 0) {
        steps.push_back(Json::array({"streams", Json{{"count", streams}}}));
    }
    if (stream_key) {
        steps.push_back(Json::array({"stream_by", Json{{"key", stream_key->str()}}}));
    }
    if (window != 0) {
        steps.push_back(Json::array({"task_graph", Json{{"window", window}}}));
    }
    return steps;
}

TaskSchedule TaskSchedule::parse(const Json &json, const std::string &origin) {
    return StepReader(origin).read(json);
}

std::string TaskSchedule::str() const {
    std::vector<std::string> steps;
    if (dispatch) {
        steps.push_back(dispatch->policy == Dispatch::Policy::RoundRobin
                            ? "dispatch(round_robin(" + std::to_string(dispatch->lanes) + "))"
                            : "dispatch(affinity(" + dispatch->key.str() + "))");
    }
    if (streams != 0) {
        steps.push_back("streams(" + std::to_string(streams) + ")");
    }
    if (stream_key) {
        steps.push_back("stream_by(" + stream_key->str() + ")");
    }
    if (window != 0) {
        steps.push_back("task_graph(window = " + std::to_string(window) + ")");
    }
    return join(steps);
}

void check_task_schedule(const TaskSchedule &schedule, const workload::Workload &workload,
                         const Loc &at) {
    if (schedule.dispatch && schedule.dispatch->policy == Dispatch::Policy::RoundRobin) {
        check_count(schedule.dispatch->lanes, "round_robin", at);
    }
    if (schedule.window < 0 || schedule.window > largest_window) {
        throw ScheduleError(at, "task_graph: the window holds 1..." +
                                    std::to_string(largest_window) + " tasks, got " +
                                    std::to_string(schedule.window));
    }
    if (schedule.streams != 0) {
        check_count(schedule.streams, "streams", at);
    } else if (schedule.stream_key) {
        throw ScheduleError(
            at, "stream_by(" + schedule.stream_key->str() + "): the number of streams is not given",
            {}, "add streams(n)");
    }
    std::vector<ScalarExpr> keys;
    for (const workload::LaneRule &rule : lane_rules(schedule, at)) {
        if (rule.key) {
            keys.push_back(*rule.key);
        }
    }
    workload::for_each_task(
        *workload.root,
        [&](const workload::TaskNode &, const workload::LoopPath &path, const workload::Node &) {
            for (const ScalarExpr &key : keys) {
                workload::resolve_key(key, path, at);
            }
        });
}

std::vector<workload::LaneRule> lane_rules(const TaskSchedule &schedule, const Loc &at) {
    std::vector<workload::LaneRule> rules;
    if (schedule.dispatch) {
        workload::LaneRule rule{"dispatch", {}, 0, false, at};
        if (schedule.dispatch->policy == Dispatch::Policy::RoundRobin) {
            rule.lanes = schedule.dispatch->lanes;
        } else {
            rule.key = schedule.dispatch->key;
            rule.pinned = true;
        }
        rules.push_back(std::move(rule));
    }
    if (schedule.streams > 0) {
        rules.push_back({"stream", schedule.stream_key, schedule.streams, false, at});
    }
    return rules;
}

}  // namespace pto::wsp::schedule
