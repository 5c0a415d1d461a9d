#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "runtime/prepared_graph.h"
#include "runtime/processes.h"
#include "runtime/ready_queue.h"
#include "runtime/run.h"
#include "runtime/tracking.h"
#include "runtime/wake_list.h"
#include "runtime/watch.h"
#include "runtime/window_gauge.h"

namespace pto::wsp::runtime {

/// Runs a dynamic graph. The *expander* is a job like any other: each step submits some tasks,
/// which are linked behind unfinished tasks whose cells they touch. When the window is full it
/// waits as the successor of a task in it, and at the end as the successor of all that are left, so
/// that no worker is ever held. Between two steps it is in the common queue, which workers look
/// into when their own tasks have run out. When none of its processes can go on before some task
/// has ended, it sleeps in the wake list.
class DynamicRun final : public Run {
public:
    /// InternalError when the graph is not consistent.
    DynamicRun(Scheduler &scheduler, TrackingPool &pool, std::shared_ptr<const Plan> plan,
               std::vector<int64_t> bindings, std::shared_ptr<Observer> observer);

    void run_job(Job &job, Worker &me) override;

    /// The body of pto_wsp_submit, called by the expander's step. Does not throw: the expander is
    /// generated code.
    void submit(int32_t site, const int64_t *slots, const int64_t *cells, int32_t worker);

    // The bodies of the other functions of core/abi.h with these names; they do not throw either.
    bool await(int32_t site, const int64_t *cells);
    bool run_processes(int32_t first, int32_t count);
    bool may_send(int32_t channel, int32_t site);
    bool try_send(int32_t channel, int32_t site);
    int64_t next_token(int32_t channel) { return processes_.next_token(channel); }
    void send(int32_t channel, const int64_t *values, int32_t count);
    bool taken(int32_t channel);
    bool meet(int32_t site);
    int32_t receive(std::span<const int32_t> channels, std::span<int64_t> token);
    void close(int32_t channel) { processes_.close(channel); }

    void cancel() override;
    void forsake() override;
    /// An event may have changed that a process waits for: those that wait for one ask again. From
    /// any thread that keeps the run.
    void poke();

private:
    struct Chain;
    struct Step;

    Job &first_job() override { return start_; }
    std::vector<Note> waited_for() const override { return waited_for_; }

    void expand(Worker &me);
    bool allocate();
    void finish();
    void serve(Job &ticket, Worker &me);
    template <typename Wait> bool waits_for(Wait &&wait);
    void count_stall(int64_t budget);
    int32_t room();
    void step(int32_t budget, Worker &me);
    void publish(Worker &me);
    void pass_oldest();
    void number_failures();
    bool is_lost_writer(int64_t number);
    bool wait_for_room();
    void take_woken();
    bool wait_for_waiters();
    bool wait_for_all();

    bool link_behind_all(Task &waiting, uint32_t &links);

    void submit_task(int32_t site, const int64_t *slots, const int64_t *cells, int32_t worker);
    void track(Submission &submission, const PreparedSite &site, const int64_t *cells);
    void keep_indices(const Task &task, int64_t *to) const;
    void refuse_cell(const Task &task, int64_t number, int64_t cell);

    void run_chain(Task &task, Worker &me);
    static int chain(void *closure);
    void end_join(const Task &task);
    void fail_task(Task &task, abi::Status status, const char *text, Worker &me);
    bool may_run(const Task &task, Worker &me);
    template <bool is_lost> Task *end_task(Task &task, Worker &me);
    void make_ready(Task &task, Worker &me);
    void wake(Job &job);

    const DynamicGraph &graph_;
    TrackingPool &pool_;
    const PreparedGraph prepared_;
    Watch watch_;
    Job start_;  ///< the expander, but where it is the window's submitter
    WakeList wake_list_;
    Job poke_;  ///< put into the wake list unless it is there
    std::atomic<bool> poked_ = false;
    std::atomic<bool> forsaken_ = false;

    // Used by the expander alone, which runs on one thread at a time.
    std::unique_ptr<Tracking> tracking_;  ///< while the run lasts
    Processes processes_;
    bool expanded_ = false;
    bool deadlocked_ = false;
    std::vector<Job *> ready_;  ///< used by publish
    int64_t submitted_ = 0;     ///< tasks, without joins
    std::optional<WindowGauge> gauge_;
    LostTasks lost_;                ///< that have left the window
    bool cut_off_ = false;          ///< nothing more can be submitted
    std::vector<Note> waited_for_;  ///< when it was cancelled

    std::atomic<int64_t> published_ = 0;  ///< number of the next task, at the end of a step

    std::unique_ptr<ReadyQueue> queue_;  ///< of runs with TaskRules
};

}  // namespace pto::wsp::runtime
