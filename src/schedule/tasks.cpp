#include "pto/wsp/schedule/tasks.h"

#include <algorithm>
#include <set>

#include "pto/wsp/support/text.h"
#include "pto/wsp/workload/names.h"
#include "schedule/contradictions.h"
#include "schedule/policy_table.h"

namespace pto::wsp::schedule {

namespace {

constexpr const char *task_graph_step = "task_graph";

/// The parts whose name is `text`, among those of `task_graph` or the others.
std::optional<Part> part_of(const std::string &text, bool of_task_graph) {
    for (const PolicyRow &row : policy_table()) {
        if (is_of_task_graph(row.part) == of_task_graph && text == name(row.part)) {
            return row.part;
        }
    }
    return std::nullopt;
}

std::vector<std::string> part_names(bool of_task_graph) {
    std::vector<std::string> names;
    for (const PolicyRow &row : policy_table()) {
        const std::string text = name(row.part);
        if (is_of_task_graph(row.part) == of_task_graph &&
            std::ranges::find(names, text) == names.end()) {
            names.push_back(text);
        }
    }
    return names;
}

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
    void read_step(const std::string &step, const Json &arguments) {
        if (!seen_.insert(step).second) {
            fail("step " + step + " is given twice");
        }
        if (step == task_graph_step) {
            for (const auto &[key, policy] : arguments.items()) {
                add(part(key, true, step + " key"), policy);
            }
        } else {
            add(part(step, false, "step"), arguments);
        }
    }

    Part part(const std::string &text, bool of_task_graph, const std::string &what) const {
        const auto found = part_of(text, of_task_graph);
        if (!found) {
            std::vector<std::string> names = part_names(of_task_graph);
            if (!of_task_graph) {
                names.emplace_back(task_graph_step);
            }
            const std::string nearest = nearest_name(text, names);
            fail("unknown " + what + " " + quoted(text),
                 (nearest.empty() ? "" : "did you mean " + nearest + "? ") +
                     "known: " + join(names));
        }
        return *found;
    }

    void add(Part part, const Json &policy) {
        schedule_ = schedule_.with(Policy::parse(part, policy, origin_));
    }

    [[noreturn]] void fail(const std::string &text, const std::string &hint = "") const {
        throw ScheduleError({}, origin_ + ": " + text, {}, hint);
    }

    std::string origin_;
    std::set<std::string> seen_;
    TaskSchedule schedule_;
};

void check_called(const std::set<std::string> &kernels, const std::string &name, Part part,
                  const Loc &at) {
    if (!kernels.contains(name)) {
        const std::vector<std::string> known(kernels.begin(), kernels.end());
        throw ScheduleError(
            at, std::string(schedule::name(part)) + ": no kernel " + quoted(name) + " is called",
            {}, "kernels: " + join(known));
    }
}

/// Resolves the key of an edge in the loops around each call of `kernel`.
void check_edge_key(const workload::Workload &workload, const std::string &kernel,
                    const ScalarExpr &key, const Loc &at) {
    workload::for_each_task(*workload.root,
                            [&](const workload::TaskNode &task, const workload::LoopPath &path,
                                const workload::Node &) {
                                if (task.kernel->name == kernel) {
                                    workload::resolve_key(key, task, path, at);
                                }
                            });
}

void check_kernels(const Policy &policy, const workload::Workload &workload, const Loc &at) {
    std::set<std::string> kernels;
    for (const workload::KernelPtr &kernel : workload.kernels()) {
        kernels.insert(kernel->name);
    }
    if (policy.part() == Part::Pools && policy.is("by_kernel")) {
        for (const auto &[kernel, pool] : policy.get<std::map<std::string, int64_t>>("kernels")) {
            check_called(kernels, kernel, policy.part(), at);
        }
    }
    if (policy.part() == Part::Deps && (policy.is("explicit") || policy.is("hybrid"))) {
        for (const Edge &edge : policy.get<std::vector<Edge>>("edges")) {
            check_called(kernels, edge.before, policy.part(), at);
            check_called(kernels, edge.after, policy.part(), at);
            check_edge_key(workload, edge.before, edge.before_key, at);
            check_edge_key(workload, edge.after, edge.after_key, at);
        }
    }
}

}  // namespace

TaskSchedule::TaskSchedule(std::initializer_list<Policy> policies) {
    for (const Policy &policy : policies) {
        parts_.insert_or_assign(policy.part(), policy);
    }
}

TaskSchedule TaskSchedule::with(Policy policy) const {
    TaskSchedule result = *this;
    const Part part = policy.part();
    result.parts_.insert_or_assign(part, std::move(policy));
    return result;
}

TaskSchedule TaskSchedule::merged(const TaskSchedule &later) const {
    TaskSchedule result = later;
    result.parts_.insert(parts_.begin(), parts_.end());
    return result;
}

const Policy *TaskSchedule::find(Part part) const {
    const auto found = parts_.find(part);
    return found == parts_.end() ? nullptr : &found->second;
}

int64_t TaskSchedule::streams() const {
    const Policy *streams = find(Part::Streams);
    return streams == nullptr ? 0 : streams->count("count");
}

int64_t TaskSchedule::window() const {
    const Policy *window = find(Part::Window);
    const bool stalls =
        window != nullptr && window->is("stall") && window->get<std::string>("unit") == "tasks";
    return stalls ? window->count("size") : 0;
}

bool TaskSchedule::traces_cycles() const {
    const Policy *trace = find(Part::Trace);
    return trace != nullptr && trace->is("cycles");
}

Json TaskSchedule::json() const {
    Json steps = Json::array();
    Json task_graph = Json::object();
    for (const auto &[part, policy] : parts_) {
        if (is_of_task_graph(part)) {
            task_graph[name(part)] = policy.json();
        } else {
            steps.push_back(Json::array({name(part), policy.json()}));
        }
    }
    if (!task_graph.empty()) {
        const bool last_is_map = find(Part::SpatialMap) != nullptr;
        steps.insert(steps.end() - (last_is_map ? 1 : 0),
                     Json::array({task_graph_step, task_graph}));
    }
    return steps;
}

TaskSchedule TaskSchedule::parse(const Json &json, const std::string &origin) {
    return StepReader(origin).read(json);
}

std::string TaskSchedule::str() const {
    std::vector<std::string> steps;
    std::vector<std::string> task_graph;
    for (const auto &[part, policy] : parts_) {
        if (is_of_task_graph(part)) {
            task_graph.push_back(std::string(name(part)) + "=" + policy.str());
        } else {
            steps.push_back(has_one_policy(part)
                                ? policy.str()
                                : std::string(name(part)) + "(" + policy.str() + ")");
        }
    }
    if (!task_graph.empty()) {
        const bool last_is_map = find(Part::SpatialMap) != nullptr;
        steps.insert(steps.end() - (last_is_map ? 1 : 0),
                     std::string(task_graph_step) + "(" + join(task_graph) + ")");
    }
    return join(steps);
}

void check_policy(const Policy &policy, const workload::Workload &workload, const Loc &at) {
    check_kernels(policy, workload, at);
    const std::vector<ScalarExpr> keys = policy.all_keys();
    workload::for_each_task(*workload.root,
                            [&](const workload::TaskNode &task, const workload::LoopPath &path,
                                const workload::Node &) {
                                for (const ScalarExpr &key : keys) {
                                    workload::resolve_key(key, task, path, at);
                                }
                            });
}

void check_task_schedule(const TaskSchedule &schedule, const workload::Workload &workload,
                         const Loc &at) {
    for (const auto &[part, policy] : schedule.parts()) {
        check_policy(policy, workload, at);
    }
    check_contradictions(schedule, workload, at);
}

int64_t argument_bytes(const workload::TaskNode &task) {
    int64_t bytes = 0;
    for (const workload::TaskArgument &argument : task.arguments) {
        if (const auto *region = std::get_if<workload::Region>(&argument.value)) {
            int64_t elements = 1;
            for (const int64_t extent : region->extents) {
                elements *= extent;
            }
            bytes += elements * size_bytes(region->tensor->view.dtype);
        }
    }
    return bytes;
}

std::vector<workload::LaneRule> lane_rules(const TaskSchedule &schedule, const Loc &at) {
    std::vector<workload::LaneRule> rules;
    const Policy *dispatch = schedule.find(Part::Dispatch);
    if (dispatch != nullptr && !dispatch->is("work_steal")) {
        workload::LaneRule rule{"dispatch", {}, 0, dispatch->is("affinity"), at, {}};
        if (dispatch->is("round_robin")) {
            rule.lanes = dispatch->count("lanes");
        } else if (dispatch->is("hash")) {
            rule.hashed = dispatch->keys();
        } else {
            rule.key = dispatch->keys().front();
        }
        rules.push_back(std::move(rule));
    }
    if (schedule.streams() > 0) {
        const Policy *key = schedule.find(Part::StreamBy);
        rules.push_back({"stream",
                         key != nullptr ? std::optional(key->keys().front()) : std::nullopt,
                         schedule.streams(),
                         false,
                         at,
                         {}});
    }
    return rules;
}

}  // namespace pto::wsp::schedule
