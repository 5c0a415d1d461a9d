#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "runtime/prepared_graph.h"
#include "runtime/run.h"
#include "runtime/tracking.h"
#include "runtime/watch.h"

namespace pto::wsp::runtime {

/// Runs a dynamic graph. The *expander* is a job like any other: each step submits some tasks,
/// which are linked behind unfinished tasks whose cells they touch. When the window is full it
/// waits as the successor of a task in it, and at the end as the successor of all that are left, so
/// that no worker is ever held. Between two steps it is in the common queue, which workers look
/// into when their own tasks have run out.
class DynamicRun final : public Run {
public:
    /// InternalError when the graph is not consistent.
    DynamicRun(Scheduler &scheduler, TrackingPool &pool, std::shared_ptr<const Plan> plan,
               std::vector<int64_t> bindings, std::shared_ptr<Observer> observer);

    void run_job(Job &job, Worker &me) override;

    /// The body of pto_wsp_submit, called by the expander's step. Does not throw: the expander is
    /// generated code.
    void submit(int32_t site, const int64_t *slots, const int64_t *cells, int32_t worker);

    /// The body of pto_wsp_await; does not throw.
    bool await(int32_t site, const int64_t *cells);

    /// Ends the run: processes are not stepped yet.
    void refuse_channels() { fail("task graph", {}, -1, "channels are not supported yet"); }

private:
    struct Chain;
    struct Step;

    Job &first_job() override { return start_; }

    void expand(Worker &me);
    bool allocate();
    void finish();
    int32_t room();
    bool step(int32_t budget, Worker &me);
    void publish(Worker &me);
    bool wait_for_room();
    bool wait_for_awaited();
    bool wait_for_all();
    bool link_behind_all(Task &waiting, uint32_t &links);

    void submit_task(int32_t site, const int64_t *slots, const int64_t *cells, int32_t worker);
    void track(Submission &submission, const PreparedSite &site, const int64_t *cells);
    void refuse_cell(const Task &task, int64_t number, int64_t cell);

    void run_chain(Task &task, Worker &me);
    static int chain(void *closure);
    Task *end_task(Task &task, Worker &me);
    void make_ready(Task &task, Worker &me);

    const DynamicGraph &graph_;
    TrackingPool &pool_;
    const PreparedGraph prepared_;
    Watch watch_;
    Job start_;  ///< the expander's first job; later ones are the window's submitter

    // Used by the expander alone, which runs on one thread at a time.
    std::unique_ptr<Tracking> tracking_;  ///< while the run lasts
    std::vector<int64_t> frame_;
    int32_t budget_ = 0;
    bool expanded_ = false;
    std::vector<Job *> ready_;      ///< used by publish
    std::vector<int64_t> awaited_;  ///< tasks that the step waits for with a slot
};

}  // namespace pto::wsp::runtime
