#include "pto/wsp/rewrite/engine.h"

#include <algorithm>
#include <deque>

#include <fmt/core.h>

#include "pto/wsp/support/error.h"
#include "pto/wsp/support/text.h"

namespace pto::wsp::rewrite {

namespace {

/// A rule that is about to fire.
struct Application {
    const Rule *rule = nullptr;
    Match match;
    double saving = 0.0;
};

/// One reading of a graph: which rules fire where, and which nearly do.
class Search {
public:
    Search(const Table &table, const Graph &graph, bool explains)
        : table_(table), graph_(graph), explains_(explains),
          at_node_(static_cast<size_t>(graph.size()), nullptr),
          taken_(static_cast<size_t>(graph.size()), false) {
        for (NodeId node = 0; node < graph.size(); ++node) {
            if (graph.uses(node) > 0) {
                visit(node);
            }
        }
    }

    const std::deque<Application> &applications() const { return applications_; }
    const Application *at(NodeId node) const { return at_node_[static_cast<size_t>(node)]; }
    const Reasons &near_misses() const { return near_misses_; }

private:
    void visit(NodeId node) {
        Application best;
        for (int index : table_.rules_of(graph_.op(node))) {
            const Rule &rule = table_.rules()[static_cast<size_t>(index)];
            Application found = try_rule(rule, node);
            if (found.rule != nullptr && (best.rule == nullptr || found.saving > best.saving)) {
                best = found;
            }
        }
        if (best.rule != nullptr) {
            take(best);
        }
    }

    Application try_rule(const Rule &rule, NodeId node) {
        Application found;
        std::string why_not;
        rule.pattern.match(graph_, node, [&](const Match &match) {
            auto failed = std::find_if(
                rule.conditions.begin(), rule.conditions.end(),
                [&](const Rule::Condition &condition) { return !condition.holds(graph_, match); });
            double saving = 0.0;
            if (failed == rule.conditions.end() && rule.saving.amount) {
                saving = rule.saving.amount(graph_, match);
            }
            bool pays = !rule.saving.amount || saving > 0.0;
            if (failed == rule.conditions.end() && pays) {
                found = {&rule, match, saving};
                return true;
            }
            if (explains_ && why_not.empty()) {
                why_not = failed != rule.conditions.end()
                              ? failed->reason(graph_, match)
                              : fmt::format("it would not pay: {} {} more",
                                            number_text(0.0 - saving), rule.saving.unit);
            }
            return false;
        });
        if (found.rule == nullptr && !why_not.empty()) {
            near_miss({rule.name, false, why_not, graph_.where(node)});
        }
        return found;
    }

    void near_miss(Reason reason) {
        auto known = [&](const Reason &other) {
            return other.subject == reason.subject && other.text == reason.text &&
                   other.at == reason.at;
        };
        if (std::none_of(near_misses_.begin(), near_misses_.end(), known)) {
            near_misses_.push_back(std::move(reason));
        }
    }

    /// Plans `application` unless it shares an operation with an earlier one: then it is found
    /// again in the next round.
    void take(const Application &application) {
        std::span<const NodeId> operations = application.match.operations();
        auto is_taken = [&](NodeId node) { return taken_[static_cast<size_t>(node)]; };
        if (std::any_of(operations.begin(), operations.end(), is_taken)) {
            return;
        }
        for (NodeId node : operations) {
            taken_[static_cast<size_t>(node)] = true;
        }
        applications_.push_back(application);
        at_node_[static_cast<size_t>(application.match.root())] = &applications_.back();
    }

    const Table &table_;
    const Graph &graph_;
    bool explains_;
    std::deque<Application> applications_;
    std::vector<const Application *> at_node_;
    std::vector<bool> taken_;
    Reasons near_misses_;
};

[[noreturn]] void report_cycle(const Table &table, const std::vector<const Rule *> &fired,
                               NodeId size) {
    std::vector<std::string> names;
    for (size_t i = fired.size() / 2; i < fired.size(); ++i) {
        std::string name = fired[i]->name + " (" + fired[i]->place() + ")";
        if (std::find(names.begin(), names.end(), name) == names.end()) {
            names.push_back(name);
        }
    }
    throw InternalError("rewrite table " + table.name(),
                        fmt::format("rules fire in a cycle: {}; {} times on {} nodes", join(names),
                                    fired.size(), size),
                        fired.back()->at);
}

}  // namespace

std::shared_ptr<const Graph> apply_rules(const Table &table, std::shared_ptr<const Graph> graph,
                                         Reasons *reasons) {
    const size_t bound = 64 + 4 * static_cast<size_t>(graph->size());
    std::vector<const Rule *> fired;
    while (true) {
        Search search(table, *graph, reasons != nullptr);
        if (search.applications().empty()) {
            if (reasons != nullptr) {
                const Reasons &near = search.near_misses();
                reasons->insert(reasons->end(), near.begin(), near.end());
            }
            return graph;
        }
        for (const Application &each : search.applications()) {
            fired.push_back(each.rule);
            if (reasons != nullptr) {
                NodeId root = each.match.root();
                reasons->push_back({each.rule->name, true,
                                    graph->text(root) + " by " + each.rule->place(),
                                    graph->where(root)});
            }
        }
        if (fired.size() > bound) {
            report_cycle(table, fired, graph->size());
        }
        graph = graph->rebuild([&](NodeId old, Rebuild &to) {
            const Application *application = search.at(old);
            return application == nullptr ? no_node
                                          : application->rule->replacement(to, application->match);
        });
    }
}

std::string explain(const Reasons &reasons) {
    std::string text;
    for (const Reason &reason : reasons) {
        text += reason.str() + "\n";
    }
    return text;
}

}  // namespace pto::wsp::rewrite
