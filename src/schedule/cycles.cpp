#include "pto/wsp/schedule/cycles.h"

#include <algorithm>
#include <queue>
#include <unordered_map>

#include "pto/wsp/workload/builder.h"
#include "pto/wsp/workload/names.h"
#include "pto/wsp/workload/slots.h"
#include "workload/net_walk.h"

namespace pto::wsp::schedule {

namespace {

using workload::GroupNode;
using workload::LoopNode;
using workload::Node;
using workload::TaskNode;

/// Why the cycles are not known.
struct Unknown {
    std::string why;
};

/// Issues tasks to workers.
class Clock {
public:
    Clock(int64_t workers, int64_t window)
        : available_(static_cast<size_t>(workers), 0), window_(window) {}

    int64_t issue(int64_t duration, int64_t worker, int64_t ready) {
        advance(ready);
        while (window_ > 0 && static_cast<int64_t>(in_flight_.size()) >= window_) {
            advance(in_flight_.top());
        }
        int64_t &available = available_[static_cast<size_t>(worker)];
        if (__builtin_add_overflow(std::max(available, issue_time_), duration, &available)) {
            throw CompileError({}, "the virtual cycles of the workload pass 2^63");
        }
        // Without a window nobody asks for what is in flight.
        if (window_ > 0) {
            in_flight_.push(available);
        }
        return available;
    }

private:
    void advance(int64_t time) {
        issue_time_ = std::max(issue_time_, time);
        while (!in_flight_.empty() && in_flight_.top() <= issue_time_) {
            in_flight_.pop();
        }
    }

    std::vector<int64_t> available_;
    std::priority_queue<int64_t, std::vector<int64_t>, std::greater<>> in_flight_;
    int64_t issue_time_ = 0;
    int64_t window_ = 0;
};

int64_t worker_count(const TaskSchedule &schedule) {
    const Policy *dispatch = schedule.find(Part::Dispatch);
    if (dispatch != nullptr && dispatch->is("round_robin")) {
        return dispatch->count("lanes");
    }
    return std::max<int64_t>(schedule.streams(), 1);
}

/// A place that makes tasks.
struct Place {
    const kernel::TileProgram *program = nullptr;
    std::map<std::string, int64_t> symbols;
    std::vector<ScalarExpr> keys;  ///< of the dispatch policy, over ids of loop variables
    std::vector<std::optional<int64_t>> scalars;
    std::optional<int64_t> cycles;  ///< for `scalars`
};

class Model {
public:
    /// `durations` takes those of all tasks; may be null.
    Model(const workload::Workload &workload, const TaskSchedule &schedule,
          const ProgramOf &program_of, int64_t window, const std::vector<TensorView> &views,
          const AddedBy &added_by, std::vector<int64_t> *durations)
        : data_(workload.data), slots_(workload, views), schedule_(schedule),
          program_of_(program_of), added_by_(added_by), workers_(worker_count(schedule)),
          clock_(workers_, window), durations_(durations) {}

    /// When all tasks below `node`, which may start at `ready`, are done.
    int64_t done(const Node &node, int64_t ready) {
        if (const auto *task = std::get_if<TaskNode>(&node.kind)) {
            return issue(*task, node, ready);
        }
        if (const auto *loop = std::get_if<LoopNode>(&node.kind)) {
            return done_loop(*loop, ready);
        }
        if (const auto *group = std::get_if<GroupNode>(&node.kind)) {
            int64_t end = ready;
            for (const workload::NodePtr &child : group->children) {
                end = std::max(end, done(*child, group->sequential ? end : ready));
            }
            return end;
        }
        if (const auto *branch = std::get_if<workload::BranchNode>(&node.kind)) {
            return done_branch(*branch, ready);
        }
        if (std::holds_alternative<workload::EventNode>(node.kind)) {
            return ready;
        }
        if (std::holds_alternative<workload::SlotNode>(node.kind)) {
            fill(node);
            return ready;
        }
        if (const auto *net = std::get_if<workload::NetNode>(&node.kind)) {
            return done_net(*net, ready);
        }
        if (const auto *call = std::get_if<workload::CallNode>(&node.kind)) {
            return done(*call->body, ready);
        }
        throw Unknown{"something is sent or consumed outside of a process"};
    }

private:
    int64_t value_of(const ScalarExpr &expr) const {
        try {
            return expr.evaluate(values_, &data_, slots_.words());
        } catch (const PtoError &error) {
            throw Unknown{error.text()};
        }
    }

    void fill(const Node &node) {
        try {
            slots_.fill(node, values_);
        } catch (const PtoError &error) {
            throw Unknown{error.text()};
        }
    }

    /// Each process has a clock of its own, which its tasks advance.
    int64_t done_net(const workload::NetNode &net, int64_t ready) {
        const auto latency = data_.symbols.find(channel_latency_symbol);
        workload::NetWalk walk(net, data_, values_, {}, ready,
                               latency == data_.symbols.end() ? 0 : latency->second);
        in_net_ = true;
        try {
            const auto done = walk.run(
                [&](const workload::ProcessWalk &process, const TaskNode &task, const Node &node) {
                    workload::LoopPath path;
                    for (const auto &[variable, value] : process.indices()) {
                        path.push_back(variable);
                    }
                    path_.swap(path);
                    values_.swap(process.values());
                    const int64_t duration = duration_of(task, node);
                    values_.swap(process.values());
                    path_.swap(path);
                    return std::optional(duration);
                });
            return *done;
        } catch (const PtoError &error) {
            throw Unknown{error.text()};
        }
    }

    int64_t done_branch(const workload::BranchNode &branch, int64_t ready) {
        const Node *body =
            workload::taken_body(branch, [this](const ScalarExpr &expr) { return value_of(expr); });
        return body != nullptr ? done(*body, ready) : ready;
    }

    int64_t done_loop(const LoopNode &loop, int64_t ready) {
        int64_t end = ready;
        path_.push_back(&loop.variable);
        const int64_t size = value_of(loop.variable.axis.size);
        for (int64_t i = 0; i < size; ++i) {
            values_[loop.variable.id] = loop.variable.value ? value_of(*loop.variable.value) : i;
            end = std::max(end, done(*loop.body, loop.sequential ? end : ready));
        }
        path_.pop_back();
        return end;
    }

    int64_t duration_of(const TaskNode &task, const Node &node) {
        auto [found, added] = places_.try_emplace(&task);
        if (added) {
            found->second = place_of(task, node);
        }
        const int64_t duration = cycles(task, found->second) + added_in_body(task);
        if (durations_ != nullptr) {
            durations_->push_back(duration);
        }
        return duration;
    }

    int64_t added_in_body(const TaskNode &task) {
        if (!added_by_) {
            return 0;
        }
        const kernel::Cycles made =
            added_by_(task, in_net_ ? std::nullopt : std::optional(number_++));
        if (!made.unknown.empty()) {
            throw Unknown{made.unknown};
        }
        return made.cycles;
    }

    int64_t issue(const TaskNode &task, const Node &node, int64_t ready) {
        const int64_t duration = duration_of(task, node);
        return clock_.issue(duration, worker(places_.at(&task)), ready);
    }

    Place place_of(const TaskNode &task, const Node &node) const {
        Place place;
        place.program = &program_of_(task.kernel);
        place.symbols = workload::task_symbols(task, node.at);
        if (const Policy *dispatch = schedule_.find(Part::Dispatch)) {
            for (const ScalarExpr &key : dispatch->all_keys()) {
                place.keys.push_back(workload::resolve_key(key, task, path_, node.at));
            }
        }
        return place;
    }

    int64_t worker(const Place &place) {
        const Policy *dispatch = schedule_.find(Part::Dispatch);
        if (dispatch == nullptr) {
            return 0;
        }
        if (place.keys.empty()) {
            return round_robin_++ % workers_;
        }
        if (dispatch->is("hash")) {
            std::vector<int64_t> values;
            for (const ScalarExpr &key : place.keys) {
                values.push_back(value_of(key));
            }
            return static_cast<int64_t>(workload::hash_keys(values) %
                                        static_cast<uint64_t>(workers_));
        }
        const int64_t lane = value_of(place.keys.front()) % workers_;
        return lane < 0 ? lane + workers_ : lane;
    }

    int64_t cycles(const TaskNode &task, Place &place) const {
        std::vector<std::optional<int64_t>> scalars;
        for (size_t i = 0; i < task.arguments.size(); ++i) {
            // A symbol that is a float has no integer value; no cycles depend on floats.
            const auto *expr = std::get_if<ScalarExpr>(&task.arguments[i].value);
            const bool integer = expr != nullptr && !is_float(task.kernel->params[i].type.dtype);
            scalars.push_back(integer ? std::optional(value_of(*expr)) : std::nullopt);
        }
        if (!place.cycles || scalars != place.scalars) {
            const kernel::Cycles made = kernel::cycles(*place.program, place.symbols, scalars);
            if (!made.unknown.empty()) {
                throw Unknown{made.unknown};
            }
            place.cycles = made.cycles;
            place.scalars = std::move(scalars);
        }
        return *place.cycles;
    }

    const RunData &data_;
    workload::SlotValues slots_;
    const TaskSchedule &schedule_;
    const ProgramOf &program_of_;
    const AddedBy &added_by_;
    int64_t workers_;
    Clock clock_;
    std::vector<int64_t> *durations_;
    int64_t round_robin_ = 0;
    int64_t number_ = 0;   ///< of the next task, in program order
    bool in_net_ = false;  ///< from then on tasks have no numbers
    workload::LoopPath path_;
    std::map<std::string, int64_t> values_;
    std::unordered_map<const TaskNode *, Place> places_;
};

}  // namespace

kernel::Cycles total_cycles(const workload::Workload &workload, const TaskSchedule &schedule,
                            const ProgramOf &program_of, int64_t window,
                            const std::vector<TensorView> &views, const AddedBy &added_by) {
    try {
        return {Model(workload, schedule, program_of, window, views, added_by, nullptr)
                    .done(*workload.root, 0),
                ""};
    } catch (const Unknown &unknown) {
        return {0, unknown.why};
    }
}

kernel::Cycles task_cycles(const workload::Workload &workload, const ProgramOf &program_of,
                           std::vector<int64_t> &durations, const std::vector<TensorView> &views,
                           const AddedBy &added_by) {
    try {
        const TaskSchedule plain;
        return {Model(workload, plain, program_of, 0, views, added_by, &durations)
                    .done(*workload.root, 0),
                ""};
    } catch (const Unknown &unknown) {
        return {0, unknown.why};
    }
}

}  // namespace pto::wsp::schedule
