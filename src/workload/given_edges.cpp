#include "workload/given_edges.h"

#include <algorithm>
#include <iterator>
#include <optional>

#include "pto/wsp/workload/graph.h"

namespace pto::wsp::workload {

namespace {

constexpr const char *remedies =
    "use hybrid, which adds what the data says, or trust=True when the order does not matter";

/// For each vertex those before it.
class Ancestors {
public:
    explicit Ancestors(const TaskGraph &graph)
        : words_((graph.vertices.size() + 63) / 64), bits_(graph.vertices.size() * words_, 0) {
        for (const TaskGraph::Edge &edge : graph.edges) {  // ascending `to`
            const auto from = static_cast<size_t>(edge.from);
            const auto to = static_cast<size_t>(edge.to);
            for (size_t w = 0; w < words_; ++w) {
                bits_[to * words_ + w] |= bits_[from * words_ + w];
            }
            bits_[to * words_ + from / 64] |= uint64_t{1} << (from % 64);
        }
    }

    bool has(size_t vertex, size_t before) const {
        return (bits_[vertex * words_ + before / 64] >> (before % 64) & 1) != 0;
    }

private:
    size_t words_;
    std::vector<uint64_t> bits_;
};

/// Vertices of both graphs by the numbers of their tasks: joins may lie elsewhere.
std::vector<size_t> vertices_of_tasks(const TaskGraph &graph) {
    std::vector<size_t> result;
    for (size_t v = 0; v < graph.vertices.size(); ++v) {
        if (graph.vertices[v].task >= 0) {
            result.push_back(v);
        }
    }
    return result;
}

/// Whether the edges are all there is and nobody vouches for them.
bool must_cover(const OrderRules &rules) {
    return rules.data == OrderRules::Data::None && !rules.trusted;
}

/// None when the tasks are not known and need not be.
std::optional<TaskGraph> graph_under(const Workload &workload, const std::vector<LaneRule> &lanes,
                                     const OrderRules &rules, bool needed) {
    try {
        // One worker: lanes of which there are as many as workers order nothing for certain.
        std::vector<LaneRule> certain;
        std::ranges::copy_if(lanes, std::back_inserter(certain),
                             [](const LaneRule &rule) { return rule.lanes > 0; });
        if (workload.uses_slots()) {
            // What they hold now another run may not have.
            throw CompileError(workload.at, "graph: slots are filled while the program runs");
        }
        return task_graph(workload, certain, 1, max_graph_tasks, rules);
    } catch (const ScheduleError &) {
        throw;
    } catch (const PtoError &error) {
        if (!needed) {
            return std::nullopt;
        }
        throw ScheduleError(
            rules.at,
            "deps=explicit: whether the edges leave out a dependence is not known: " + error.text(),
            {}, remedies);
    }
}

/// ScheduleError when an edge never orders two tasks.
void check_each_orders(const TaskGraph &given, const OrderRules &rules) {
    for (const EdgeRule &edge : rules.edges) {
        const std::string on = edge.before + " -> " + edge.after;
        const bool orders = std::ranges::any_of(given.edges, [&](const TaskGraph::Edge &made) {
            return made.cause == TaskGraph::Cause::Given && made.on == on &&
                   given.vertices[static_cast<size_t>(made.from)].name == edge.before &&
                   given.vertices[static_cast<size_t>(made.to)].name == edge.after;
        });
        if (!orders) {
            throw ScheduleError(
                rules.at,
                "deps: the edge " + on + " orders no two tasks: no task of '" + edge.before +
                    "' comes before one of '" + edge.after + "' with the same key",
                {}, "keys are " + edge.before_key.str() + " and " + edge.after_key.str());
        }
    }
}

}  // namespace

void check_edges(const Workload &workload, const std::vector<LaneRule> &lanes,
                 const OrderRules &rules) {
    const auto found = graph_under(workload, lanes, rules, must_cover(rules));
    if (!found) {
        return;
    }
    const TaskGraph &given = *found;
    check_each_orders(given, rules);
    if (!must_cover(rules)) {
        return;
    }
    const TaskGraph data = *graph_under(workload, {}, {}, true);
    const Ancestors ancestors(given);
    const std::vector<size_t> places = vertices_of_tasks(given);
    for (const TaskGraph::Edge &edge : data.edges) {
        const TaskGraph::Vertex &from = data.vertices[static_cast<size_t>(edge.from)];
        const TaskGraph::Vertex &to = data.vertices[static_cast<size_t>(edge.to)];
        if (edge.cause >= TaskGraph::Cause::Sequence ||
            ancestors.has(places[static_cast<size_t>(to.task)],
                          places[static_cast<size_t>(from.task)])) {
            continue;
        }
        throw ScheduleError(rules.at,
                            "deps=explicit leaves out a dependence: " + from.str() +
                                " comes before " + to.str() + " (" + edge.str() + ")",
                            {{from.at, from.str()}, {to.at, to.str()}},
                            "add an edge (\"" + from.name + "\", \"" + to.name + "\", key); or " +
                                remedies);
    }
}

}  // namespace pto::wsp::workload
