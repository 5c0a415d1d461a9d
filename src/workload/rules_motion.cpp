#include <algorithm>

#include "pto/wsp/workload/names.h"
#include "workload/rules_facts.h"

/// Tasks moved out of loops, and loops into each other.
namespace pto::wsp::workload {

using namespace pattern;
using rewrite::NodeId;

namespace {

bool varies_with(const WorkloadGraph &graph, NodeId node, NodeId loop) {
    return variables_of(*graph.tree(node)).count(graph.loop(loop).variable.id) != 0;
}

/// Whether anything in `node`, itself included, sets slots or depends on them.
bool has_slots(const WorkloadGraph &graph, NodeId node) {
    bool found = false;
    for_each_node(*graph.tree(node), [&](const Node &each, const LoopPath &) {
        found = found || std::holds_alternative<SlotNode>(each.kind) || uses_slots(each);
    });
    return found;
}

/// Whether anything in `loop` writes what `task`, which is in it, reads.
bool reads_what_is_written(const WorkloadGraph &graph, NodeId task, NodeId loop) {
    const std::vector<const Site *> sites = sites_below(graph, loop);
    return std::ranges::any_of(
        sites, [&](const Site *site) { return reads_from(*graph.site(task), *site); });
}

/// Whether another task in `loop` writes what `task` writes.
bool is_written_by_others(const WorkloadGraph &graph, NodeId task, NodeId loop) {
    const Site &hoisted = *graph.site(task);
    const std::vector<const Site *> sites = sites_below(graph, loop);
    return std::ranges::any_of(sites, [&](const Site *site) {
        const Relation relation{common_loops(site->path, hoisted.path) - 1, 0};
        return site != &hoisted && any_meeting(*site, hoisted, relation,
                                               [](const DataAccess &other, const DataAccess &own) {
                                                   return other.writes && own.writes;
                                               });
    });
}

/// `a` comes first in `loop` and does the same in each iteration.
rewrite::Rule hoist(const Pattern &loop, const TreeRule::Replacement &replacement) {
    return TreeRule("hoist-task", loop)
        .when("",
              [](const WorkloadGraph &graph, const Match &m) {
                  return graph.site(m["a"]) != nullptr && !varies_with(graph, m["a"], m.root());
              })
        .when("the loop may have no iterations",
              [](const WorkloadGraph &graph, const Match &m) {
                  return graph.loop(m.root()).variable.axis.constant().value_or(0) > 0;
              })
        .when("{a} depends on slots",
              [](const WorkloadGraph &graph, const Match &m) { return !has_slots(graph, m["a"]); })
        .when("{a} may do more than to write tiles: it prints or is no tile program",
              only_writes_tiles("a"))
        .when("{a} reads what the loop writes",
              [](const WorkloadGraph &graph, const Match &m) {
                  return !reads_what_is_written(graph, m["a"], m.root());
              })
        .when("what {a} writes is written by another task of the loop, too",
              [](const WorkloadGraph &graph, const Match &m) {
                  return !is_written_by_others(graph, m["a"], m.root());
              })
        .to(replacement);
}

/// Whether iterations of the inner of two nested loops touch the same data, one of them writing it,
/// in whatever iterations of the outer one.
bool shares_data(const WorkloadGraph &graph, NodeId outer, NodeId inner) {
    // As the loops would be nested: the relation of two tasks starts with the outermost loops.
    LoopNode inside = graph.loop(outer);
    inside.body = graph.loop(inner).body;
    LoopNode outside = graph.loop(inner);
    outside.body = std::make_shared<const Node>(Node{std::move(inside), graph.where(outer)});
    NodePtr tree = std::make_shared<const Node>(Node{std::move(outside), graph.where(inner)});
    const std::vector<NodeId> around = graph.loops_around(outer);
    for (size_t i = around.size(); i-- > 0;) {
        LoopNode loop = graph.loop(around[i]);
        loop.body = tree;
        tree = std::make_shared<const Node>(Node{std::move(loop), graph.where(around[i])});
    }
    const AccessTable table(*tree);
    const std::vector<Relation> relations = different_iterations(around.size(), around.size() + 1);
    for (const Site &a : table.sites()) {
        for (const Site &b : table.sites()) {
            if (find_conflict(a, b, relations)) {
                return true;
            }
        }
    }
    return false;
}

bool all_only_write_tiles(const WorkloadGraph &graph, NodeId node) {
    const std::vector<const Site *> sites = sites_below(graph, node);
    return std::ranges::all_of(sites,
                               [](const Site *site) { return only_writes_tiles(*site->task); });
}

}  // namespace

const rewrite::Table &hoist_rules() {
    auto make = [] {
        std::vector<rewrite::Rule> rules;
        for (TreeOp loop : {TreeOp::Parallel, TreeOp::Sequential}) {
            rules.push_back(hoist(of(loop, {task("a")}),
                                  [](TreeRebuild &to, const Match &m) { return to(m["a"]); }));
            for (auto [group, list] : {std::pair{TreeOp::Combine, TreeOp::And},
                                       std::pair{TreeOp::InOrder, TreeOp::Then}}) {
                Pattern body = of(group, {of(list, {task("a"), any("rest")})}).as("group");
                rules.push_back(hoist(of(loop, {body}), [](TreeRebuild &to, const Match &m) {
                    NodeId rest = to.loop(m.root(), to.group(m["group"], to(m["rest"])));
                    return to.group(m["group"], to.list(to(m["a"]), to.list(rest, to.end())));
                }));
            }
        }
        return rules;
    };
    static const rewrite::Table table("hoist", make());
    return table;
}

const rewrite::Table &interchange_rules() {
    static const rewrite::Table table(
        "interchange",
        {TreeRule("parallel-outside",
                  of(TreeOp::Sequential, {of(TreeOp::Parallel, {any("body")}).as("inner")}))
             .when("what is done in {inner} depends on slots",
                   [](const WorkloadGraph &graph, const Match &m) {
                       return !has_slots(graph, m["inner"]);
                   })
             .when("the size of {inner} varies",
                   [](const WorkloadGraph &graph, const Match &m) {
                       return !varies_with(graph, m["inner"], m.root());
                   })
             .when("a task of {inner} may do more than to write tiles, in this order",
                   [](const WorkloadGraph &graph, const Match &m) {
                       return all_only_write_tiles(graph, m["inner"]);
                   })
             .when("iterations of {inner} touch the same data",
                   [](const WorkloadGraph &graph, const Match &m) {
                       return !shares_data(graph, m.root(), m["inner"]);
                   })
             .to([](TreeRebuild &to, const Match &m) {
                 return to.loop(m["inner"], to.loop(m.root(), to(m["body"])));
             })});
    return table;
}

}  // namespace pto::wsp::workload
