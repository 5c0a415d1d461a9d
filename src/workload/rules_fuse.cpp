#include <algorithm>

#include <fmt/format.h>

#include "pto/wsp/kernel/concatenate.h"
#include "pto/wsp/workload/dependence.h"
#include "workload/rules_facts.h"

/// Two tasks, one after the other, made one.
namespace pto::wsp::workload {

using namespace pattern;
using rewrite::NodeId;

namespace {

/// Elements of all tiles of a task that counts as small: what it computes costs less than a task.
constexpr int64_t small_task = 4096;

using Reason = std::optional<std::string>;

const Region *region_of(const TaskNode &task, size_t argument) {
    return std::get_if<Region>(&task.arguments[argument].value);
}

bool is_written(const TaskNode &task, size_t argument) {
    return task.arguments[argument].direction != kernel::Direction::In;
}

/// The tiles that the two share: read by both, or written by the first and read by the second.
kernel::SharedParams shared_params(const TaskNode &first, const TaskNode &second) {
    kernel::SharedParams shared(second.arguments.size(), -1);
    for (size_t s = 0; s < second.arguments.size(); ++s) {
        for (size_t f = 0; f < first.arguments.size() && region_of(second, s) != nullptr; ++f) {
            if (region_of(first, f) != nullptr && !is_written(second, s) &&
                same_whole_region(*region_of(first, f), *region_of(second, s))) {
                shared[s] = static_cast<int>(f);
            }
        }
    }
    return shared;
}

/// The arguments that the second reads and the first writes, of one iteration.
bool reads_result(const WorkloadGraph &graph, const Match &m) {
    return graph.site(m["a"]) != nullptr && graph.site(m["b"]) != nullptr &&
           reads_from(*graph.site(m["b"]), *graph.site(m["a"]));
}

/// Whether the two share elements that one of them writes, other than by the tiles in `shared`.
bool shares_otherwise(const Site &first, const Site &second, const kernel::SharedParams &shared) {
    const Relation same_iteration{common_loops(first.path, second.path), 0};
    return any_meeting(first, second, same_iteration,
                       [&](const DataAccess &earlier, const DataAccess &later) {
                           return (earlier.writes || later.writes) &&
                                  shared[static_cast<size_t>(later.argument)] != earlier.argument;
                       });
}

/// Why another task may need what `a` writes; nothing when only `b` does.
Reason other_reader(const WorkloadGraph &graph, const Match &m) {
    for (const Site &site : graph.accesses().sites()) {
        const bool other = &site != graph.site(m["b"]) && &site != graph.site(m["a"]);
        if (other && reads_from(site, *graph.site(m["a"]), {0, 0})) {
            return fmt::format("what {} writes is read by {} ({}), too", graph.text(m["a"]),
                               site.task ? site.task->kernel->name : "a slot", site.node->at.str());
        }
    }
    return std::nullopt;
}

Reason why_not_one_kernel(const WorkloadGraph &graph, const Match &m) {
    const TaskNode &first = graph.task(m["a"]);
    const TaskNode &second = graph.task(m["b"]);
    for (const TaskNode *each : {&first, &second}) {
        if (each->kernel->program == nullptr) {
            return each->kernel->name + " is declared only";
        }
    }
    const kernel::SharedParams shared = shared_params(first, second);
    if (shares_otherwise(*graph.site(m["a"]), *graph.site(m["b"]), shared)) {
        return fmt::format("{} and {} touch other parts of the same data", graph.text(m["a"]),
                           graph.text(m["b"]));
    }
    std::string reason =
        kernel::why_not_concatenated(*first.kernel->program, *second.kernel->program, shared);
    return reason.empty() ? std::nullopt : Reason(reason);
}

TaskNode one_task(const TaskNode &first, const TaskNode &second, const std::string &name,
                  const Loc &at) {
    const kernel::SharedParams shared = shared_params(first, second);
    auto kernel = std::make_shared<Kernel>();
    kernel->name = name;
    kernel->program = kernel::concatenate(*first.kernel->program, *second.kernel->program, shared,
                                          kernel->name, at);
    kernel->params = kernel->program->params;
    kernel->at = at;
    TaskNode task{kernel, first.axes, first.arguments, first.checks};
    task.checks.insert(task.checks.end(), second.checks.begin(), second.checks.end());
    for (size_t s = 0; s < second.arguments.size(); ++s) {
        if (shared[s] < 0) {
            task.arguments.push_back(second.arguments[s]);
        }
    }
    return task;
}

int64_t elements(const TaskNode &task) {
    int64_t total = 0;
    for (size_t i = 0; i < task.arguments.size(); ++i) {
        if (const Region *region = region_of(task, i)) {
            int64_t size = 1;
            for (int64_t extent : region->extents) {
                size *= extent;
            }
            total += size;
        }
    }
    return total;
}

/// Elements and arguments of a task that iterations become, at most.
constexpr int64_t most_arguments = 32;

int64_t iterations(const WorkloadGraph &graph, const Match &m) {
    return graph.loop(m.root()).variable.axis.constant().value_or(0);
}

/// How many iterations become one task: as many as are small together and leave none over.
int64_t iterations_of_a_task(const WorkloadGraph &graph, const Match &m) {
    const TaskNode &task = graph.task(m["a"]);
    const int64_t size = std::max<int64_t>(elements(task), 1);
    const auto arguments = std::max<int64_t>(static_cast<int64_t>(task.arguments.size()), 1);
    const int64_t count = iterations(graph, m);
    for (int64_t n = std::min(most_arguments / arguments, small_task / size); n > 1; --n) {
        if (count % n == 0) {
            return n;
        }
    }
    return 1;
}

/// `task` where the variable `id` is `value`.
TaskNode with_value(const TaskNode &task, const std::string &id, const Affine &value) {
    Node node{task, {}};
    for_each_expression(node, [&](ScalarExpr &expr) {
        expr = expr.substitute({{id, ScalarExpr::from(value)}});
    });
    auto &made = std::get<TaskNode>(node.kind);
    for (TaskArgument &argument : made.arguments) {
        if (auto *region = std::get_if<Region>(&argument.value)) {
            for (Affine &offset : region->offsets) {
                offset = offset.substitute({{id, value}});
            }
            for (Region::Bound &bound : region->bounds) {
                bound.offset = bound.offset.substitute({{id, value}});
            }
        }
    }
    return made;
}

/// Iteration `number` of `count` that become one.
TaskNode iteration(const WorkloadGraph &graph, const Match &m, int64_t number, int64_t count) {
    const std::string &id = graph.loop(m.root()).variable.id;
    return with_value(graph.task(m["a"]), id, Affine::variable(id, count) + Affine(number));
}

Reason why_not_one_iteration(const WorkloadGraph &graph, const Match &m) {
    const int64_t count = iterations(graph, m);
    if (iterations_of_a_task(graph, m) == 1) {
        return fmt::format("no number of iterations divides {} and is small together: {} has {} "
                           "elements and {} arguments, a task at most {} and {}",
                           count, graph.text(m["a"]), elements(graph.task(m["a"])),
                           graph.task(m["a"]).arguments.size(), small_task, most_arguments);
    }
    const Site &site = *graph.site(m["a"]);
    const size_t around = graph.loops_around(m.root()).size();
    if (find_conflict(site, site, different_iterations(around, around + 1))) {
        return fmt::format("iterations of {} touch the same data", graph.text(m.root()));
    }
    const TaskNode first = iteration(graph, m, 0, 2);
    const TaskNode second = iteration(graph, m, 1, 2);
    if (first.kernel->program == nullptr) {
        return first.kernel->name + " is declared only";
    }
    const std::string reason = kernel::why_not_concatenated(
        *first.kernel->program, *first.kernel->program, shared_params(first, second));
    return reason.empty() ? std::nullopt : Reason(reason);
}

/// Whether tasks are tracked, as long as no schedule asks for it.
bool is_tracked(const WorkloadGraph &graph) {
    Workload workload;
    workload.root = graph.root();
    return !analyse_dependence(workload).is_static();
}

rewrite::Rule merge_iterations() {
    return TreeRule("merge-iterations", of(TreeOp::Parallel, {task("a")}))
        .when("",
              [](const WorkloadGraph &graph, const Match &m) {
                  const LoopVar &variable = graph.loop(m.root()).variable;
                  return graph.site(m["a"]) != nullptr && !variable.value &&
                         variable.axis.constant() != 1;
              })
        .when("the number of iterations is not the same in every run",
              [](const WorkloadGraph &graph, const Match &m) {
                  return graph.loop(m.root()).variable.axis.constant().has_value();
              })
        .unless(why_not_one_iteration)
        .when("tasks are not tracked: iterations are handed to workers in chunks already",
              [](const WorkloadGraph &graph, const Match &) { return is_tracked(graph); })
        .to([](TreeRebuild &to, const Match &m) {
            const WorkloadGraph &graph = to.old();
            const int64_t count = iterations_of_a_task(graph, m);
            const std::string name =
                graph.task(m["a"]).kernel->name + "_" + std::to_string(count) + "x";
            TaskNode task = iteration(graph, m, 0, count);
            for (int64_t number = 1; number < count; ++number) {
                task =
                    one_task(task, iteration(graph, m, number, count), name, graph.where(m["a"]));
            }
            return to.loop(m.root(), to.task(std::move(task), graph.where(m["a"])),
                           iterations(graph, m) / count);
        });
}

/// A rule for `a` and then `b` in a list of either kind.
template <class Conditions>
void add_rules(std::vector<rewrite::Rule> &rules, const char *name, Conditions conditions) {
    for (TreeOp list : {TreeOp::And, TreeOp::Then}) {
        TreeRule rule(name, of(list, {task("a"), of(list, {task("b"), any("rest")})}));
        rules.push_back(conditions(std::move(rule))
                            .unless(why_not_one_kernel)
                            .to([](TreeRebuild &to, const Match &m) {
                                const WorkloadGraph &graph = to.old();
                                const TaskNode &first = graph.task(m["a"]);
                                const TaskNode &second = graph.task(m["b"]);
                                NodeId task =
                                    to.task(one_task(first, second,
                                                     first.kernel->name + "_" + second.kernel->name,
                                                     graph.where(m["a"])),
                                            graph.where(m["a"]));
                                return to.list(task, to(m["rest"]));
                            }));
    }
}

}  // namespace

const rewrite::Table &fuse_rules() {
    auto make = [] {
        std::vector<rewrite::Rule> rules;
        add_rules(rules, "fuse-chain", [](TreeRule rule) {
            return std::move(rule)
                .when("", reads_result)
                .when("{b} reads other parts of what {a} writes than {a} writes at a time",
                      [](const WorkloadGraph &graph, const Match &m) {
                          const kernel::SharedParams shared =
                              shared_params(graph.task(m["a"]), graph.task(m["b"]));
                          return std::ranges::any_of(shared, [&](int f) {
                              return f >= 0 &&
                                     is_written(graph.task(m["a"]), static_cast<size_t>(f));
                          });
                      })
                .unless(other_reader);
        });
        return rules;
    };
    static const rewrite::Table table("fuse", make());
    return table;
}

const rewrite::Table &merge_rules() {
    auto make = [] {
        std::vector<rewrite::Rule> rules;
        add_rules(rules, "merge-small", [](TreeRule rule) {
            return std::move(rule)
                .when("",
                      [](const WorkloadGraph &graph, const Match &m) {
                          return graph.site(m["a"]) != nullptr && graph.site(m["b"]) != nullptr;
                      })
                .unless([](const WorkloadGraph &graph, const Match &m) -> Reason {
                    const int64_t size =
                        elements(graph.task(m["a"])) + elements(graph.task(m["b"]));
                    if (size <= small_task) {
                        return std::nullopt;
                    }
                    return fmt::format("{} and {} are not small: {} elements, more than {}",
                                       graph.text(m["a"]), graph.text(m["b"]), size, small_task);
                });
        });
        rules.push_back(merge_iterations());
        return rules;
    };
    static const rewrite::Table table("merge", make());
    return table;
}

}  // namespace pto::wsp::workload
