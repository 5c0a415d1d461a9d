#pragma once

#include <cstdint>
#include <span>

#include "pto/wsp/core/abi.h"

namespace pto::wsp::runtime {

/// How much of a run an Observer wants to be told.
enum class Detail {
    Work,   ///< what workers run: tasks of dynamic graphs, whole chunks of static loops
    Tasks,  ///< static loops iteration by iteration, each a call of its own
    Graph,  ///< also what is submitted, what waits for what, channels and steps of the expander
};

/// What a worker runs without a break: a task of a dynamic graph, or iterations of a static loop.
struct Work {
    /// Index in DynamicGraph::sites; of a static loop its number, counted over all phases.
    int32_t site = 0;
    /// Of a dynamic graph: the number of the submission in this run, from 0 on; joins count. Of a
    /// static loop: its first iteration.
    int64_t first = 0;
    int64_t count = 1;  ///< iterations
    /// Of a dynamic graph: the number of the task in this run, in program order, without joins. -1:
    /// a join, or a static loop.
    int64_t task = -1;
};

/// A submission of a dynamic graph.
struct Submitted {
    int64_t number = 0;  ///< in this run, from 0 on
    int32_t site = 0;
    int64_t stream = -1;              ///< the stream (logical lane) that the task is in; -1: none
    std::span<const int64_t> values;  ///< of TaskSite::loops
};

/// Watches a run: `Executor::start` takes one. Its functions are called on the threads of the run,
/// in the middle of what they measure, so they are to be short, and must not throw.
///
/// `began` and `ended` are called by the worker that they name, `ended` once after each `began`;
/// different workers call them at the same time. All others are called by one thread at a time,
/// each call after the one before, but not always by the same thread. A run's end comes after all
/// others, and before anybody sees the run complete.
class Observer {
public:
    virtual ~Observer() = default;

    virtual Detail detail() const { return Detail::Work; }

    /// A worker begins to run something, once whatever it waits for has ended.
    virtual void began(int /*worker*/, const Work & /*work*/) {}
    /// It has ended, before anything that waits for it can begin. `tasks` kernels ran: none in a
    /// join, and none is counted when `status` is not 0, that is, when one failed.
    virtual void ended(int /*worker*/, const Work & /*work*/, int64_t /*tasks*/,
                       abi::Status /*status*/) {}

    // Of a dynamic graph, where `detail` is Graph.

    virtual void submitted(const Submitted & /*submitted*/) {}
    /// Submission `after` waits for `before`, or would have if that had not ended already. Follows
    /// `submitted(after)`; at most once a pair.
    virtual void depends(int64_t /*before*/, int64_t /*after*/) {}
    /// Process `process` put a token with the number `token` into channel `channel`, or took it.
    virtual void sent(int /*channel*/, int64_t /*token*/, int /*process*/) {}
    virtual void received(int /*channel*/, int64_t /*token*/, int /*process*/) {}
    /// The expander begins a step on `worker`, or has ended it.
    virtual void step_began(int /*worker*/) {}
    virtual void step_ended(int /*worker*/) {}

    /// The last call.
    virtual void run_ended() {}
};

}  // namespace pto::wsp::runtime
