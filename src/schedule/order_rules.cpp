#include "pto/wsp/schedule/tasks.h"

/// What of a schedule the dependence analysis is told.
namespace pto::wsp::schedule {

namespace {

using workload::OrderRules;

/// Why tasks are taken one by one; empty when they need not be.
std::string tracked_because(const TaskSchedule &schedule, int workers) {
    const auto has = [&](Part part, std::string_view policy) {
        const Policy *found = schedule.find(part);
        return found != nullptr && found->is(policy);
    };
    const int64_t window = schedule.window();
    if (window != 0 && window < workers) {
        // In a loop that is not tracked each worker runs a task, and no more are in flight.
        return "a window of " + std::to_string(window) +
               " holds fewer tasks than there are "
               "workers (" +
               std::to_string(workers) + ")";
    }
    for (const auto &[part, policy] : schedule.parts()) {
        const bool one_by_one =
            (part == Part::Timing && !policy.is("immediate")) ||
            (part == Part::Deps && (policy.is("explicit") || policy.is("hybrid"))) ||
            (part == Part::Window && window == 0) || part == Part::Pools ||
            (part == Part::Ready && !policy.is("work_steal")) || part == Part::Start ||
            has(part, "cycles");
        if (one_by_one) {
            return std::string(name(part)) + " is " + policy.str();
        }
    }
    return "";
}

ScalarExpr modulo(const ScalarExpr &value, int64_t by) {
    return ScalarExpr::make(ScalarExpr::Op::Mod, {value, by});
}

/// The stream of a task that is interleaved with others: that of the lanes, else in turn.
ScalarExpr stream_of(const TaskSchedule &schedule, const Policy &timing) {
    const Policy *key = schedule.find(Part::StreamBy);
    const int64_t streams = schedule.streams() > 0 ? schedule.streams() : timing.count("streams");
    return modulo(key != nullptr ? key->keys().front()
                                 : ScalarExpr::variable(workload::number_variable),
                  streams);
}

}  // namespace

OrderRules order_rules(const TaskSchedule &schedule, int workers, const Loc &at) {
    OrderRules rules;
    rules.at = at;
    rules.tracked_because = tracked_because(schedule, workers);
    if (const Policy *deps = schedule.find(Part::Deps)) {
        if (deps->is("bytes_overlap")) {
            rules.data = OrderRules::Data::Bytes;
        } else if (deps->is("explicit")) {
            rules.data = OrderRules::Data::None;
            rules.trusted = deps->get<bool>("trust");
        }
        if (deps->is("explicit") || deps->is("hybrid")) {
            for (const Edge &edge : deps->get<std::vector<Edge>>("edges")) {
                rules.edges.push_back({edge.before, edge.after, edge.before_key, edge.after_key});
            }
        }
    }
    const Policy *ready = schedule.find(Part::Ready);
    const Policy *timing = schedule.find(Part::Timing);
    if (ready != nullptr && ready->is("priority")) {
        rules.rank = ready->keys().front();
    } else if (timing != nullptr && timing->is("interleaved")) {
        rules.rank = stream_of(schedule, *timing);
    }
    const Policy *pools = schedule.find(Part::Pools);
    if (pools != nullptr && pools->is("custom")) {
        const auto count = static_cast<int64_t>(pools->get<std::vector<int64_t>>("sizes").size());
        rules.pool = modulo(pools->keys().front(), count);
    }
    return rules;
}

}  // namespace pto::wsp::schedule
