#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "runtime/cells.h"
#include "runtime/run.h"
#include "runtime/window.h"

namespace pto::wsp::runtime {

/// Runs a dynamic graph. The *expander* is a job like any other: each step submits some tasks,
/// which are linked behind unfinished tasks whose cells they touch. When the window is full it
/// waits as the successor of a task in it, and at the end as the successor of all that are left, so
/// that no worker is ever held. Between two steps it is in the common queue, which workers look
/// into when their own tasks have run out.
class DynamicRun final : public Run {
public:
    /// InternalError when the graph is not consistent.
    DynamicRun(Scheduler &scheduler, std::shared_ptr<const Plan> plan,
               std::vector<int64_t> bindings);

    void run_job(Job &job, Worker &me) override;

    /// The body of pto_wsp_submit, called by the expander's step.
    void submit(int32_t site, const int64_t *slots, const int64_t *cells, int32_t worker);

private:
    /// An access of a site, prepared: its box as extents, and the first cells for which the box
    /// lies inside the grid.
    struct PreparedAccess {
        const Access *access;
        int64_t grid_begin;
        int64_t lowest;
        int64_t highest;
        bool empty;
    };
    struct PreparedSite {
        abi::KernelFn function;
        int slot_count;
        std::vector<PreparedAccess> accesses;
    };
    /// What is allocated when the run begins.
    struct State {
        Window window;
        Cells cells;
        std::vector<int64_t> frame;
    };
    struct Chain;
    struct Step;

    Job &first_job() override { return start_; }
    void prepare();
    PreparedAccess prepare(const Access &access, const TaskSite &site) const;

    void expand(Worker &me);
    bool allocate();
    int32_t room();
    bool step(int32_t budget, Worker &me);
    bool wait_for_room();
    bool wait_for_all();

    void track(Task &task, const PreparedSite &site, const int64_t *cells, uint32_t &links);
    void touch(Task &task, const PreparedAccess &access, int64_t first, uint32_t &links);
    void order_after(int64_t number, Task &task, uint32_t &links);

    void run_chain(Task &task, Worker &me);
    static int chain(void *closure);
    Task *end_task(Task &task, Worker &me);
    void make_ready(Task &task, Worker &me);

    const DynamicGraph &graph_;
    std::vector<PreparedSite> sites_;
    int64_t cell_count_ = 0;
    int most_slots_ = 0;
    Job start_;  ///< the expander's first job; later ones are the window's submitter

    // Used by the expander alone, which runs on one thread at a time.
    std::optional<State> state_;
    int64_t next_ = 1;    ///< number of the next task
    int64_t oldest_ = 1;  ///< all tasks before have ended
    int32_t budget_ = 0;
    bool expanded_ = false;
    Worker *expanding_ = nullptr;
};

}  // namespace pto::wsp::runtime
