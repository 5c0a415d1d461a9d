#include "pto/wsp/workload/graph.h"

#include <algorithm>
#include <functional>
#include <map>
#include <queue>
#include <utility>

#include "pto/wsp/support/text.h"
#include "pto/wsp/workload/slots.h"
#include "workload/live_accesses.h"
#include "workload/structure.h"

namespace pto::wsp::workload {

namespace {

int64_t floor_mod(int64_t value, int64_t by) {
    const int64_t rest = value % by;
    return rest < 0 ? rest + by : rest;
}

[[noreturn]] void throw_too_many(const std::string &count, const Loc &at) {
    throw CompileError(at, "graph: the workload has " + count, {},
                       "make the graph of a smaller one, or raise max_tasks");
}

class GraphBuilder {
public:
    GraphBuilder(const Workload &workload, const std::vector<LaneRule> &lanes, int64_t workers,
                 const OrderRules &rules, int64_t max_tasks, const std::vector<TensorView> &views)
        : table_(*workload.root, rules.data), data_(workload.data), slots_(workload, views),
          at_(workload.at), lanes_(lanes), workers_(workers), rules_(rules), max_tasks_(max_tasks),
          live_(table_.storages().size()), last_of_lane_(lanes.size()),
          of_edge_(rules.edges.size()) {
        for (const Site &site : table_.sites()) {
            for (const DataAccess &access : site.accesses) {
                live_[static_cast<size_t>(access.storage)].expect(access);
            }
        }
    }

    TaskGraph build(const Node &root) {
        walk(root);
        std::ranges::stable_sort(graph_.edges, {},
                                 [](const TaskGraph::Edge &edge) { return edge.to; });
        return std::move(graph_);
    }

private:
    void walk(const Node &node) {
        if (const auto *task = std::get_if<TaskNode>(&node.kind)) {
            add_task(*task, node);
        } else if (const auto *loop = std::get_if<LoopNode>(&node.kind)) {
            walk_loop(*loop);
        } else if (const auto *group = std::get_if<GroupNode>(&node.kind)) {
            walk_group(*group);
        } else if (const auto *branch = std::get_if<BranchNode>(&node.kind)) {
            walk_branch(*branch);
        } else if (const auto *call = std::get_if<CallNode>(&node.kind)) {
            walk(*call->body);
        } else if (!std::holds_alternative<EventNode>(node.kind)) {
            slots_.fill(node, values_);
        }
    }

    void walk_branch(const BranchNode &branch) {
        const Node *body =
            taken_body(branch, [this](const ScalarExpr &expr) { return value_of(expr); });
        if (body != nullptr) {
            walk(*body);
        }
    }

    int64_t value_of(const ScalarExpr &expr) const {
        return expr.evaluate(values_, &data_, slots_.words());
    }

    void walk_loop(const LoopNode &loop) {
        if (is_empty(*loop.body)) {
            return;
        }
        const std::string on = (loop.depth > 0 ? "pipe " : "loop ") + loop.variable.id;
        // An iteration of a pipe comes after the one `depth` before it.
        const int64_t apart = loop.sequential ? 1 : loop.depth;
        std::map<int64_t, std::vector<int>> ends;
        loops_.push_back(&loop.variable);
        const int64_t size = value_of(loop.variable.axis.size);
        for (int64_t i = 0; i < size; ++i) {
            values_[loop.variable.id] = loop.variable.value ? value_of(*loop.variable.value) : i;
            walk_item(apart > 0 ? &ends[i % apart] : nullptr, *loop.body, on);
        }
        loops_.pop_back();
    }

    void walk_group(const GroupNode &group) {
        std::vector<int> ends;
        for (const NodePtr &child : group.children) {
            if (!is_empty(*child)) {
                walk_item(group.sequential ? &ends : nullptr, *child, "sequential");
            }
        }
    }

    /// One item of a sequence (null: of none), after the one before. `ends` are the vertices of an
    /// item that have no successor.
    void walk_item(std::vector<int> *ends, const Node &node, const std::string &on) {
        if (ends == nullptr) {
            walk(node);
            return;
        }
        std::vector<int> before = std::exchange(*ends, {});
        if (before.size() > 1) {
            const int join = add_vertex({-1, "join", {}, node.at});
            for (const int end : before) {
                connect(end, join, TaskGraph::Cause::Sequence, on);
            }
            before = {join};
        }
        const auto first = static_cast<int>(graph_.vertices.size());
        walk(node);
        const auto last = static_cast<int>(graph_.vertices.size());
        if (first == last) {
            // Nothing was taken: the item behind comes after the one before.
            *ends = std::move(before);
            return;
        }
        for (int v = first; v < last; ++v) {
            // Edges from outside of the item do not order what is in it.
            if (!before.empty() && latest_before_[static_cast<size_t>(v)] < first) {
                connect(before.front(), v, TaskGraph::Cause::Sequence, on);
            }
            if (!has_next_[static_cast<size_t>(v)]) {
                ends->push_back(v);
            }
        }
    }

    void add_task(const TaskNode &task, const Node &node) {
        TaskGraph::Vertex vertex{tasks_, task.kernel->name, {}, node.at};
        for (const LoopVar *variable : loops_) {
            if (!variable->hidden) {
                vertex.indices.emplace_back(variable->id, values_.at(variable->id));
            }
        }
        const int number = add_vertex(std::move(vertex));
        if (rules_.data != OrderRules::Data::None) {
            add_data(*table_.find(node), number);
        }
        for (size_t i = 0; i < rules_.edges.size(); ++i) {
            add_edge(i, task, number);
        }
        for (size_t i = 0; i < lanes_.size(); ++i) {
            add_lane(i, task, number, node.at);
        }
        if (++tasks_ > max_tasks_) {
            throw_too_many("more than " + std::to_string(max_tasks_) + " tasks", at_);
        }
    }

    void add_data(const Site &site, int vertex) {
        std::vector<std::pair<LiveAccesses *, Live>> own;
        for (const DataAccess &access : site.accesses) {
            Live box{vertex, access.reads, access.writes, {}, access.extents};
            for (const DataAccess::Limit &limit : access.valid) {
                int64_t &extent = box.extents[limit.dim];
                extent = std::clamp<int64_t>(value_of(limit.size), 0, extent);
            }
            if (std::ranges::find(box.extents, 0) != box.extents.end()) {
                continue;
            }
            for (const Affine &offset : access.offsets) {
                box.first.push_back(offset.evaluate(values_));
            }
            for (const Live *other : live_[static_cast<size_t>(access.storage)].meeting(box)) {
                if (other->writes || box.writes) {
                    connect(other->vertex, vertex, cause_of(*other, box),
                            region_text(site, access));
                }
            }
            own.emplace_back(&live_[static_cast<size_t>(access.storage)], std::move(box));
        }
        // What conflicts with an access that this task overwrites whole conflicts with this task.
        for (auto &[live, box] : own) {
            if (box.writes) {
                live->remove_covered(box);
            }
            live->add(std::move(box));
        }
    }

    static TaskGraph::Cause cause_of(const Live &first, const Live &second) {
        if (!first.writes) {
            return TaskGraph::Cause::WriteAfterRead;
        }
        return second.reads ? TaskGraph::Cause::ReadAfterWrite : TaskGraph::Cause::WriteAfterWrite;
    }

    std::string region_text(const Site &site, const DataAccess &access) const {
        Region region = region_of(site, access);
        for (Affine &offset : region.offsets) {
            offset = offset.evaluate(values_);
        }
        region.valid_rows.reset();
        region.valid_columns.reset();
        return region.str();
    }

    /// As the runtime does: tasks before the edge write the cell of their key, those after it read
    /// theirs.
    void add_edge(size_t number, const TaskNode &task, int vertex) {
        const std::string &kernel = task.kernel->name;
        const EdgeRule &edge = rules_.edges[number];
        const auto key = [&](const ScalarExpr &expr) {
            return value_of(resolve_key(expr, task, loops_, rules_.at));
        };
        const auto order = [&](int before) {
            if (before >= 0 && before != vertex) {
                connect(before, vertex, TaskGraph::Cause::Given, edge.before + " -> " + edge.after);
            }
        };
        if (kernel == edge.after) {
            KeyOfEdge &cell = of_edge_[number][key(edge.after_key)];
            order(cell.writer);
            cell.readers.push_back(vertex);
        }
        if (kernel == edge.before) {
            KeyOfEdge &cell = of_edge_[number][key(edge.before_key)];
            order(cell.writer);
            std::ranges::for_each(std::exchange(cell.readers, {}), order);
            cell.writer = vertex;
        }
    }

    int64_t lane_of(const LaneRule &rule, const TaskNode &task, const Loc &at) const {
        const int64_t count = rule.lanes > 0 ? rule.lanes : workers_;
        if (!rule.hashed.empty()) {
            std::vector<int64_t> keys;
            for (const ScalarExpr &key : rule.hashed) {
                keys.push_back(value_of(resolve_key(key, task, loops_, at)));
            }
            return static_cast<int64_t>(hash_keys(keys) % static_cast<uint64_t>(count));
        }
        return floor_mod(rule.key ? value_of(resolve_key(*rule.key, task, loops_, at)) : tasks_,
                         count);
    }

    void add_lane(size_t rule_number, const TaskNode &task, int vertex, const Loc &at) {
        const LaneRule &rule = lanes_[rule_number];
        const int64_t lane = lane_of(rule, task, at);
        const auto [last, first_of_lane] = last_of_lane_[rule_number].try_emplace(lane, vertex);
        if (!first_of_lane) {
            connect(last->second, vertex, TaskGraph::Cause::Lane,
                    rule.name + " " + std::to_string(lane));
            last->second = vertex;
        }
    }

    int add_vertex(TaskGraph::Vertex vertex) {
        graph_.vertices.push_back(std::move(vertex));
        has_next_.push_back(false);
        latest_before_.push_back(-1);
        return static_cast<int>(graph_.vertices.size()) - 1;
    }

    void connect(int from, int to, TaskGraph::Cause cause, std::string on) {
        has_next_[static_cast<size_t>(from)] = true;
        int &latest = latest_before_[static_cast<size_t>(to)];
        latest = std::max(latest, from);
        // Several elements of one region are one reason.
        if (!graph_.edges.empty()) {
            const TaskGraph::Edge &last = graph_.edges.back();
            if (last.from == from && last.to == to && last.cause == cause && last.on == on) {
                return;
            }
        }
        graph_.edges.push_back({from, to, cause, std::move(on)});
    }

    const AccessTable table_;
    const RunData &data_;
    SlotValues slots_;
    const Loc &at_;
    const std::vector<LaneRule> &lanes_;
    int64_t workers_;
    const OrderRules &rules_;
    int64_t max_tasks_;
    TaskGraph graph_;
    std::vector<LiveAccesses> live_;  ///< by storage
    std::vector<std::map<int64_t, int>> last_of_lane_;
    /// The last task before an edge with some key, and those after it since.
    struct KeyOfEdge {
        int writer = -1;
        std::vector<int> readers;
    };
    std::vector<std::map<int64_t, KeyOfEdge>> of_edge_;
    std::vector<bool> has_next_;
    std::vector<int> latest_before_;  ///< of each vertex: its last predecessor
    LoopPath loops_;
    std::map<std::string, int64_t> values_;
    int64_t tasks_ = 0;
};

/// Edges by the vertex that they leave.
std::vector<std::vector<int>> successors(const TaskGraph &graph) {
    std::vector<std::vector<int>> result(graph.vertices.size());
    for (const TaskGraph::Edge &edge : graph.edges) {
        result[static_cast<size_t>(edge.from)].push_back(edge.to);
    }
    return result;
}

}  // namespace

TaskGraph task_graph(const Workload &workload, const std::vector<LaneRule> &lanes, int64_t workers,
                     int64_t max_tasks, const OrderRules &rules,
                     const std::vector<TensorView> &views) {
    if (workload.has_channels()) {
        throw CompileError(workload.at,
                           "graph: the tasks of processes are ordered by tokens as they come", {},
                           "make the graph of a workload without channels");
    }
    for_each_node(*workload.root, [](const Node &node, const LoopPath &) {
        const auto *event = std::get_if<EventNode>(&node.kind);
        if (event != nullptr && event->waits()) {
            throw CompileError(node.at,
                               "graph: what follows waits for event " + quoted(event->event->name) +
                                   ", which anybody may signal",
                               {}, "make the graph of the parts between the events");
        }
    });
    // Where slots decide, the tasks are counted on the way.
    const int64_t count = workload.uses_slots() ? 0 : workload.task_count();
    if (count > max_tasks) {
        throw_too_many(std::to_string(count) + " tasks, more than " + std::to_string(max_tasks),
                       workload.at);
    }
    return GraphBuilder(workload, lanes, workers, rules, max_tasks, views).build(*workload.root);
}

int64_t critical_path(const TaskGraph &graph, const std::vector<int64_t> &durations) {
    std::vector<int64_t> start(graph.vertices.size(), 0);
    int64_t last = 0;
    size_t next = 0;
    for (size_t v = 0; v < graph.vertices.size(); ++v) {
        for (; next < graph.edges.size() && graph.edges[next].to == static_cast<int>(v); ++next) {
            const auto from = static_cast<size_t>(graph.edges[next].from);
            start[v] = std::max(start[v], start[from] + durations[from]);
        }
        last = std::max(last, start[v] + durations[v]);
    }
    return last;
}

int64_t makespan(const TaskGraph &graph, const std::vector<int64_t> &durations, int64_t workers) {
    const std::vector<std::vector<int>> next = successors(graph);
    std::vector<int> waits(graph.vertices.size(), 0);
    for (const TaskGraph::Edge &edge : graph.edges) {
        waits[static_cast<size_t>(edge.to)]++;
    }
    std::priority_queue<int, std::vector<int>, std::greater<>> ready;
    using End = std::pair<int64_t, int>;
    std::priority_queue<End, std::vector<End>, std::greater<>> running;
    int64_t now = 0;
    int64_t busy = 0;
    const auto is_join = [&](int v) { return graph.vertices[static_cast<size_t>(v)].task < 0; };
    const std::function<void(int)> become_ready = [&](int v) {
        is_join(v) ? running.emplace(now, v) : ready.push(v);
    };
    for (size_t v = 0; v < waits.size(); ++v) {
        if (waits[v] == 0) {
            become_ready(static_cast<int>(v));
        }
    }
    while (!ready.empty() || !running.empty()) {
        while (!ready.empty() && busy < workers) {
            running.emplace(now + durations[static_cast<size_t>(ready.top())], ready.top());
            ready.pop();
            busy++;
        }
        // All that ends at this time ends before the next is taken.
        now = running.top().first;
        while (!running.empty() && running.top().first == now) {
            const int ended = running.top().second;
            running.pop();
            busy -= is_join(ended) ? 0 : 1;
            for (const int v : next[static_cast<size_t>(ended)]) {
                if (--waits[static_cast<size_t>(v)] == 0) {
                    become_ready(v);
                }
            }
        }
    }
    return now;
}

}  // namespace pto::wsp::workload
