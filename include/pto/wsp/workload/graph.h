#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "pto/wsp/workload/dependence.h"

namespace pto::wsp::workload {

/// The tasks of a workload and what orders them. Of two tasks one runs before the other exactly
/// when there is a path between them; an order that follows from others may have no edge.
struct TaskGraph {
    /// A task, or a join: a point that ends one item of a sequence and begins the next.
    struct Vertex {
        int64_t task = -1;  ///< number in program order; -1: a join
        std::string name;   ///< of the kernel; `join`
        std::vector<std::pair<std::string, int64_t>> indices;  ///< of the loops around it
        Loc at;
        std::string str() const;  ///< `gemm[i=0, j=2]`
    };
    enum class Cause {
        ReadAfterWrite,
        WriteAfterRead,
        WriteAfterWrite,
        Sequence,  ///< `P.seq`, `sequential`
        Lane,      ///< both are of one logical lane
        Given,     ///< an edge of the schedule
    };
    /// `from` runs before `to`; indices of vertices, from < to.
    struct Edge {
        int from = 0;
        int to = 0;
        Cause cause = Cause::Sequence;
        std::string on;           ///< `C[1, 0:4, 0:16]` of the later task; `loop i`; `dispatch 2`
        std::string str() const;  ///< `RAW on C[1, 0:4, 0:16]`
    };

    std::vector<Vertex> vertices;  ///< in an order that all edges follow; tasks in program order
    std::vector<Edge> edges;       ///< ascending `to`

    /// For Graphviz.
    std::string dot() const;
    /// A drawing by itself, levels from top to bottom; texts of edges are tooltips.
    std::string svg() const;
};

/// `RAW`, `WAR`, `WAW`, `sequence`, `lane`, `edge`.
const char *name(TaskGraph::Cause cause);

/// More tasks than this are not put into a graph unless asked for.
inline constexpr int64_t max_graph_tasks = 10000;

/// Builds the graph from the elements that tasks touch (or what `rules` say), the sequences and
/// the lanes; `workers`
/// stands for the lanes of rules that have as many as there are workers. Elements of tensors that
/// share memory in a way that is not analysed count as one. `views` are for SlotValues.
/// CompileError when there are more than `max_tasks` tasks, and at a slot that is filled with an
/// element which tasks write; ScheduleError for a key with an unknown name.
TaskGraph task_graph(const Workload &workload, const std::vector<LaneRule> &lanes = {},
                     int64_t workers = 1, int64_t max_tasks = max_graph_tasks,
                     const OrderRules &rules = {}, const std::vector<TensorView> &views = {});

/// The longest path, where vertex v takes `durations[v]`.
int64_t critical_path(const TaskGraph &graph, const std::vector<int64_t> &durations);

/// When the last vertex ends on `workers` workers: a worker that is free takes the first vertex, in
/// the order of the graph, whose predecessors have ended. Joins, of duration 0, take no worker.
int64_t makespan(const TaskGraph &graph, const std::vector<int64_t> &durations, int64_t workers);

}  // namespace pto::wsp::workload
