#include "pto/wsp/workload/dependence.h"

#include <algorithm>

#include "pto/wsp/support/text.h"
#include "workload/access.h"
#include "workload/given_edges.h"
#include "workload/linear_system.h"
#include "workload/proofs.h"
#include "workload/static_plan.h"
#include "workload/storage.h"
#include "workload/structure.h"
#include "workload/tracked_plan.h"

namespace pto::wsp::workload {

namespace {

std::string loops_text(const LoopPath &loops) {
    std::vector<std::string> parts;
    for (const LoopVar *variable : loops) {
        if (variable->token) {
            parts.push_back(variable->id);
            continue;
        }
        parts.push_back(variable->id + (variable->value ? " = " + variable->value->str()
                                                        : " in " + variable->axis.str()));
    }
    return parts.empty() ? "no loop" : join(parts);
}

std::string count_text(const std::optional<int64_t> &count) {
    return count ? std::to_string(*count) : "any number of";
}

std::string phase_text(const StaticPhase &phase, size_t number) {
    std::string text = "phase " + std::to_string(number) + "\n";
    for (const StaticNest &nest : phase) {
        std::vector<std::string> kernels;
        for_each_task(*nest.body, [&](const TaskNode &task, const LoopPath &, const Node &) {
            kernels.push_back(task.kernel->name);
        });
        text += "  nest over " + loops_text(nest.loops) + ": " + count_text(nest.iterations) +
                " iterations of " + count_text(nest.tasks_per_iteration) + " tasks (" +
                join(kernels) + ")" + (nest.wavefront ? ", a wavefront of the last two" : "") +
                "\n";
    }
    return text;
}

std::string access_text(const CellAccess &access, const TrackedPlan &plan) {
    std::string text = access.reads ? (access.writes ? "reads and writes " : "reads ") : "writes ";
    text += plan.grids[static_cast<size_t>(access.grid)].name + "#" + std::to_string(access.grid) +
            " from " + access.first.str();
    for (const CellAccess::Extent &extent : access.box) {
        text += ", " + std::to_string(extent.count) + " cells " + std::to_string(extent.stride) +
                " apart";
    }
    return text;
}

std::string numbers_text(const std::vector<int> &numbers) {
    std::vector<std::string> parts;
    std::ranges::transform(numbers, std::back_inserter(parts),
                           [](int number) { return std::to_string(number); });
    return parts.empty() ? "nothing" : join(parts);
}

std::string plan_text(const TrackedPlan &plan) {
    std::string text;
    for (size_t i = 0; i < plan.grids.size(); ++i) {
        text += "grid #" + std::to_string(i) + " " + plan.grids[i].name + ": " +
                std::to_string(plan.grids[i].cells) + " cells\n";
    }
    for (const TrackedProcess &process : plan.processes) {
        text += "process " + process.name + ": consumes " + numbers_text(process.receives) +
                ", produces " + numbers_text(process.sends) + "\n";
    }
    for (size_t i = 0; i < plan.channels.size(); ++i) {
        text += "channel " + std::to_string(i) + " " + plan.channels[i].channel->name + ": depth " +
                std::to_string(plan.channels[i].channel->depth) + "\n";
    }
    for (const TrackedSite &site : plan.sites) {
        text += "site " + site.name + " over " + loops_text(site.loops);
        text += site.process >= 0 ? ", in process " + std::to_string(site.process) : "";
        text += site.worker ? ", on worker " + site.worker->str() : "";
        text += site.rank ? ", rank " + site.rank->str() : "";
        text += site.pool ? ", pool " + site.pool->str() : "";
        text += "\n";
        for (const TrackedSite::Hash &hash : site.hashes) {
            std::vector<std::string> keys;
            for (const ScalarExpr &key : hash.keys) {
                keys.push_back(key.str());
            }
            text +=
                "  " + hash.variable + " = fnv1a(" + join(keys) + ") % " + hash.count.str() + "\n";
        }
        for (const CellAccess &access : site.accesses) {
            text += "  " + access_text(access, plan) + "\n";
        }
    }
    return text;
}

std::string lanes_text(const std::vector<LaneRule> &lanes) {
    std::vector<std::string> parts;
    parts.reserve(lanes.size());
    for (const LaneRule &rule : lanes) {
        std::vector<std::string> keys;
        for (const ScalarExpr &key : rule.hashed) {
            keys.push_back(key.str());
        }
        parts.push_back(rule.name + " by " +
                        (rule.key              ? rule.key->str()
                         : rule.hashed.empty() ? "number of the task"
                                               : "hash of " + join(keys)));
    }
    return join(parts);
}

/// Number of bytes from `a` to `b`.
int64_t distance(const TensorView &a, const TensorView &b) {
    return static_cast<const char *>(b.data) - static_cast<const char *>(a.data);
}

}  // namespace

DependenceSummary analyse_dependence(const Workload &workload, const std::vector<LaneRule> &lanes,
                                     const OrderRules &rules) {
    DependenceSummary summary;
    summary.root = workload.root;
    const std::optional<int64_t> tasks = constant_task_count(*workload.root);
    const AccessTable table(*workload.root, rules.data);
    if (rules.data == OrderRules::Data::None || !rules.edges.empty()) {
        check_edges(workload, lanes, rules);
    }
    summary.memory = table.memory();
    StaticPlan plan;
    if (workload.has_channels()) {
        plan.why_not = "processes take turns as tokens come";
        plan.at = workload.at;
    } else if (!workload.events().empty()) {
        plan.why_not = "events are met in program order";
        plan.at = workload.at;
    } else if (workload.uses_slots()) {
        plan.why_not = "slots are filled and read in program order";
        plan.at = workload.at;
    } else if (!rules.tracked_because.empty()) {
        plan.why_not = rules.tracked_because;
        plan.at = workload.at;
    } else if (lanes.empty()) {
        plan = plan_static(workload.root, table);
    } else {
        plan.why_not = "tasks have lanes: " + lanes_text(lanes);
        plan.remedy = "neither dispatch nor streams";
        plan.at = lanes.front().at;
    }
    Reason reason{"task loop", plan.phases.has_value(), "", workload.at, true};
    if (plan.phases) {
        reason.text = (tasks ? std::to_string(*tasks) + " tasks" : std::string("all tasks")) +
                      " run untracked in " + std::to_string(plan.phases->size()) + " phases";
        summary.plan = *plan.phases;
    } else {
        reason.text = "tracked: " + plan.why_not;
        reason.at = plan.at;
        summary.plan = plan_tracked(workload.root, table, lanes, rules);
    }
    summary.reasons = loop_reasons(*workload.root, table, plan);
    summary.reasons.insert(summary.reasons.begin(), std::move(reason));
    const Reasons found = races(*workload.root, table);
    summary.reasons.insert(summary.reasons.end(), found.begin(), found.end());
    return summary;
}

uint64_t hash_keys(const std::vector<int64_t> &keys) {
    uint64_t hash = 0xcbf29ce484222325ULL;
    for (const int64_t key : keys) {
        for (int byte = 0; byte < 8; ++byte) {
            hash ^= (static_cast<uint64_t>(key) >> (8 * byte)) & 0xff;
            hash *= 0x100000001b3ULL;
        }
    }
    return hash;
}

Reasons racing_writes(const Workload &workload) {
    return races(*workload.root, AccessTable(*workload.root));
}

std::string DependenceSummary::str() const {
    if (!is_static()) {
        return plan_text(std::get<TrackedPlan>(plan));
    }
    std::string text;
    const auto &phases = std::get<0>(plan);
    for (size_t i = 0; i < phases.size(); ++i) {
        text += phase_text(phases[i], i);
    }
    return text;
}

std::vector<std::pair<int, int>> overlapping_arguments(const TaskNode &task, const LoopPath &path) {
    std::vector<std::pair<int, int>> result;
    const AccessTable table(task, path);
    if (table.sites().empty()) {
        return result;
    }
    const Site &site = table.sites().front();
    for (size_t i = 0; i < site.accesses.size(); ++i) {
        for (size_t j = i + 1; j < site.accesses.size(); ++j) {
            const DataAccess &a = site.accesses[i];
            const DataAccess &b = site.accesses[j];
            if ((a.writes || b.writes) && may_meet(site, a, site, b, {path.size(), 0})) {
                result.emplace_back(a.argument, b.argument);
            }
        }
    }
    return result;
}

void check_binding(const DependenceSummary &summary, const std::vector<TensorView> &views,
                   const Loc &at) {
    std::vector<TensorPtr> bound;
    for (size_t i = 0; i < summary.memory.size(); ++i) {
        const TensorMemory &memory = summary.memory[i];
        bound.push_back(
            std::make_shared<Tensor>(Tensor{memory.tensor->name, views[i], memory.tensor->at}));
    }
    const std::vector<int> storages = storage_numbers(bound);
    for (size_t i = 0; i < bound.size(); ++i) {
        for (size_t j = 0; j < i; ++j) {
            const TensorMemory &a = summary.memory[j];
            const TensorMemory &b = summary.memory[i];
            const std::string names = a.tensor->name + " and " + b.tensor->name;
            if (!a.written && !b.written) {
                continue;
            }
            if (a.storage != b.storage && storages[i] == storages[j]) {
                throw TypeCheckError(at,
                                     names + " share memory now and did not when the workload "
                                             "was compiled",
                                     {}, "bind arrays of their own, or compile with these");
            }
            if (a.storage == b.storage && a.exact &&
                distance(views[j], views[i]) != distance(a.tensor->view, b.tensor->view)) {
                throw TypeCheckError(at,
                                     names + " do not share memory in the same way as when the "
                                             "workload was compiled",
                                     {}, "bind both, to views of one array, or compile with these");
            }
        }
    }
}

}  // namespace pto::wsp::workload
