#include "pto/wsp/kernel/concatenate.h"
#include "workload/rewrite_graph.h"
#include "workload/rules_facts.h"
#include "workload/structure.h"

/// Groups that mean nothing, and tasks that do nothing that is seen.
namespace pto::wsp::workload {

using namespace pattern;
using rewrite::no_node;
using rewrite::NodeId;

namespace {

/// A group, or a call that is one, in a list `list`.
rewrite::Rule flatten(const char *name, TreeOp list, TreeOp same, const std::string &reason) {
    Pattern inner = rewrite::optional(
        of(TreeOp::Call, {rewrite::it()}),
        either({of(TreeOp::Combine, {any("items")}), of(TreeOp::InOrder, {any("ordered")})}));
    const char *items = same == TreeOp::Combine ? "items" : "ordered";
    return TreeRule(name, of(list, {inner, any("rest")}))
        .when(reason, [items](const WorkloadGraph &, const Match &m) { return m.has(items); })
        .to([items](TreeRebuild &to, const Match &m) {
            return to.append(to(m[items]), to(m["rest"]));
        });
}

/// A group of one statement.
rewrite::Rule only_statement(TreeOp group, TreeOp list) {
    return TreeRule("group-of-one", of(group, {of(list, {any("x"), of(TreeOp::End, {})})}))
        .to([](TreeRebuild &to, const Match &m) { return to(m["x"]); });
}

/// The task behind `task` in the same list that writes all that it writes; no_node when there is
/// none.
NodeId overwriting_task(const WorkloadGraph &graph, NodeId task, NodeId rest) {
    for (; graph.tree_op(rest) != TreeOp::End; rest = graph.operands(rest)[1]) {
        NodeId later = graph.operands(rest)[0];
        if (graph.tree_op(later) == TreeOp::Task &&
            overwrites_all(graph.task(later), graph.task(task))) {
            return later;
        }
    }
    return no_node;
}

/// Whether something from `rest` to `last` reads what `task` writes.
bool is_read_until(const WorkloadGraph &graph, NodeId task, NodeId rest, NodeId last) {
    for (; graph.tree_op(rest) != TreeOp::End; rest = graph.operands(rest)[1]) {
        NodeId statement = graph.operands(rest)[0];
        for (const Site *reader : sites_below(graph, statement)) {
            if (reads_from(*reader, *graph.site(task))) {
                return true;
            }
        }
        if (statement == last) {
            return false;
        }
    }
    return true;
}

}  // namespace

const rewrite::Table &flatten_rules() {
    static const rewrite::Table table(
        "flatten", {flatten("flatten-combine", TreeOp::And, TreeOp::Combine,
                            "the statements of a sequential group stay in order"),
                    flatten("flatten-sequential", TreeOp::Then, TreeOp::InOrder,
                            "a combine in a sequential group has no order of its own"),
                    only_statement(TreeOp::Combine, TreeOp::And),
                    only_statement(TreeOp::InOrder, TreeOp::Then)});
    return table;
}

const rewrite::Table &dead_rules() {
    auto make = [] {
        std::vector<rewrite::Rule> rules;
        for (TreeOp list : {TreeOp::And, TreeOp::Then}) {
            rules.push_back(
                TreeRule("no-tasks", of(list, {any("x"), any("rest")}))
                    .when("", [](const WorkloadGraph &graph,
                                 const Match &m) { return is_empty(*graph.tree(m["x"])); })
                    .to([](TreeRebuild &to, const Match &m) { return to(m["rest"]); }));
            rules.push_back(
                TreeRule("overwritten", of(list, {task("a"), any("rest")}))
                    .when("",
                          [](const WorkloadGraph &graph, const Match &m) {
                              return graph.site(m["a"]) != nullptr &&
                                     overwriting_task(graph, m["a"], m["rest"]) != no_node;
                          })
                    .when("{a} may do more than to write tiles: it prints or is no tile program",
                          only_writes_tiles("a"))
                    .when("what {a} writes is read before it is written again",
                          [](const WorkloadGraph &graph, const Match &m) {
                              return !is_read_until(graph, m["a"], m["rest"],
                                                    overwriting_task(graph, m["a"], m["rest"]));
                          })
                    .to([](TreeRebuild &to, const Match &m) { return to(m["rest"]); }));
        }
        return rules;
    };
    static const rewrite::Table table("dead", make());
    return table;
}

}  // namespace pto::wsp::workload
