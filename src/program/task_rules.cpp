#include "task_rules.h"

#include <algorithm>

#include <fmt/format.h>

namespace pto::wsp {

namespace {

using runtime::TaskRules;
using runtime::WindowRule;
using schedule::Part;
using schedule::Policy;
using schedule::TaskSchedule;

constexpr int largest_window = 1 << 24;
/// Room for the tasks of a workload whose number is not known.
constexpr int64_t unknown_tasks = int64_t{1} << 20;

struct OrderRow {
    const char *policy;
    TaskRules::Order order;
};

constexpr OrderRow orders[] = {
    {"fifo", TaskRules::Order::Fifo},
    {"work_steal", TaskRules::Order::Newest},
    {"priority", TaskRules::Order::Priority},
};

struct ModeRow {
    const char *policy;
    WindowRule::Mode mode;
};

constexpr ModeRow modes[] = {
    {"stall", WindowRule::Mode::Stall},
    {"abort", WindowRule::Mode::Abort},
    {"benchmark", WindowRule::Mode::Benchmark},
};

bool is_given(const TaskSchedule &schedule, Part part, std::string_view policy) {
    const Policy *found = schedule.find(part);
    return found != nullptr && found->is(policy);
}

std::optional<TaskRules> task_rules(const TaskSchedule &schedule) {
    TaskRules rules;
    const Policy *ready = schedule.find(Part::Ready);
    const Policy *timing = schedule.find(Part::Timing);
    const Policy *pools = schedule.find(Part::Pools);
    const Policy *start = schedule.find(Part::Start);
    const bool stealing = ready != nullptr && ready->is("work_steal");
    const bool at_once = timing == nullptr || timing->is("immediate");
    if ((ready == nullptr || stealing) && at_once && pools == nullptr && start == nullptr) {
        return std::nullopt;
    }
    for (const OrderRow &row : orders) {
        if (ready != nullptr && ready->is(row.policy)) {
            rules.order = row.order;
        }
    }
    if (is_given(schedule, Part::Timing, "batched")) {
        rules.batch = timing->count("n");
    } else if (is_given(schedule, Part::Timing, "rate_limit")) {
        rules.tasks_per_ms = timing->get<double>("tasks_per_ms");
    } else if (is_given(schedule, Part::Timing, "interleaved")) {
        rules.order = TaskRules::Order::Interleaved;
        rules.in_a_row = timing->count("priority");
        rules.ranks = std::max(timing->count("streams"), schedule.streams());
    }
    if (pools != nullptr && pools->is("single")) {
        rules.pools = {pools->count("size")};
    } else if (pools != nullptr && pools->is("by_exec_unit")) {
        rules.pools = {pools->count("matmul"), pools->count("other")};
    } else if (pools != nullptr) {
        rules.pools = pools->get<std::vector<int64_t>>("sizes");
    }
    if (start != nullptr) {
        rules.start_at_end = start->is("after_orchestration");
        rules.start_after = start->is("threshold") ? start->count("n") : 0;
    }
    return rules;
}

std::optional<WindowRule> window_rule(const TaskSchedule &schedule) {
    const Policy *window = schedule.find(Part::Window);
    if (window == nullptr || schedule.window() > 0) {
        return std::nullopt;
    }
    WindowRule rule;
    rule.size = window->count("size");
    rule.unit = window->get<std::string>("unit") == "bytes" ? "bytes" : "tasks";
    for (const ModeRow &row : modes) {
        if (window->is(row.policy)) {
            rule.mode = row.mode;
        }
    }
    return rule;
}

/// Submissions that the runtime has to hold: twice the tasks, because joins are among them.
int64_t needed_window(const TaskSchedule &schedule, std::optional<int64_t> tasks) {
    int64_t needed = 0;
    if (is_given(schedule, Part::Start, "threshold")) {
        needed = schedule.find(Part::Start)->count("n");
    } else if (is_given(schedule, Part::Start, "after_orchestration")) {
        needed = tasks.value_or(unknown_tasks);
    }
    if (is_given(schedule, Part::Timing, "batched")) {
        needed = std::max(needed, schedule.find(Part::Timing)->count("n"));
    }
    const Policy *window = schedule.find(Part::Window);
    if (window != nullptr && window->get<std::string>("unit") == "tasks") {
        needed = std::max(needed, window->count("size"));
    }
    return std::min<int64_t>(needed, largest_window / 2) * 2;
}

bool has_matmul(const kernel::TileProgram &program) {
    return std::ranges::any_of(program.nodes, [](const kernel::Node &node) {
        return std::string_view(kernel::info(node.op).name) == "matmul";
    });
}

}  // namespace

void apply_rules(const TaskSchedule &schedule, std::optional<int64_t> tasks,
                 runtime::DynamicGraph &graph) {
    graph.rules = task_rules(schedule);
    graph.window_rule = window_rule(schedule);
    if (schedule.window() != 0) {
        graph.window = static_cast<int>(schedule.window());
    } else {
        graph.window =
            static_cast<int>(std::max<int64_t>(graph.window, needed_window(schedule, tasks)));
    }
}

void apply_rules(const TaskSchedule &schedule, const workload::TrackedSite &site,
                 const kernel::TileProgram &program, int argument_slots, const Loc &at,
                 runtime::TaskSite &place) {
    place.slot_count = argument_slots;
    if (site.rank) {
        place.rank_slot = place.slot_count++;
    }
    if (site.pool) {
        place.pool_slot = place.slot_count++;
    }
    if (is_given(schedule, Part::Pools, "by_exec_unit")) {
        place.pool = has_matmul(program) ? 0 : 1;
    } else if (is_given(schedule, Part::Pools, "by_kernel")) {
        const auto &kernels =
            schedule.find(Part::Pools)->get<std::map<std::string, int64_t>>("kernels");
        place.pool = static_cast<int>(kernels.at(site.task->kernel->name));
    }
    const Policy *window = schedule.find(Part::Window);
    if (window != nullptr && window->get<std::string>("unit") == "bytes") {
        place.weight = schedule::argument_bytes(*site.task);
        if (place.weight > window->count("size")) {
            throw ScheduleError(
                at,
                fmt::format("task_graph: a window of {} bytes holds no task of '{}', whose "
                            "arguments are {}",
                            window->count("size"), site.name, place.weight),
                {{site.at, "called here"}},
                fmt::format("use a window of at least {} bytes", place.weight));
        }
    }
}

}  // namespace pto::wsp
