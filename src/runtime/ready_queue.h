#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "runtime/prepared_graph.h"
#include "runtime/scheduler.h"
#include "runtime/timer.h"
#include "runtime/window.h"

namespace pto::wsp::runtime {

/// The ready tasks of one run with TaskRules, which decides which of them starts when.
///
/// Protocol. Everything is under one mutex. Tasks are never in the scheduler's queues: a *ticket*
/// is, a job by which a worker comes and takes tasks from here, one after another, until there is
/// none that may start; then the ticket is idle again. There is one ticket a worker for the tasks
/// that any worker takes, and one for each worker's pinned tasks. A ticket is sent when a task may
/// start and fewer tickets are on their way than such tasks wait, so none waits without a ticket
/// that comes for it, except for what wakes it later:
/// - a task whose pool is full: the end of one of that pool, which sends tickets;
/// - a task whose time has not come: the timer, which holds a ticket meanwhile;
/// - tasks of a batch that is not full: those that run (at the end of the last of them), or the
///   submitter, which says when it waits;
/// - all tasks before the start: the submitter.
/// Every task is taken and ended under a ticket, and the run does not end before all tickets are
/// idle: `close` asks for that, and the ticket that becomes idle last says so.
class ReadyQueue {
public:
    ReadyQueue(Scheduler &scheduler, Run &run, const TaskRules &rules,
               const std::vector<PreparedSite> &sites, int64_t window);

    /// `task` waits for nothing any more. From any thread.
    void put(Task &task);

    /// True when `job` is a ticket.
    bool is_ticket(const Job &job) const {
        return &job >= tickets_.data() && &job < tickets_.data() + tickets_.size();
    }
    /// A ticket has come to a worker; it takes tasks until `take` gives none.
    void arrive(Job &ticket);
    /// What a ticket gets: a task, or null when it has been given back.
    struct Taken {
        Task *task = nullptr;
        /// It was the last one that was not idle, after `close`: only the run's end may follow.
        bool last = false;
    };
    /// The next task. With `all`, rules are off.
    Taken take(Job &ticket, bool all);
    /// The pool of a task, to be asked before it ends. Joins have none.
    int pool_of(Task &task) const;
    /// A task of `pool` that was taken has ended, and what it made ready has been put.
    void ended(int pool);
    /// Gives the ticket back to the common queue, behind what waits there.
    void yield(Job &ticket);

    /// The submitter (by whose thread these are called) has submitted so many tasks in all.
    void submitted(int64_t count);
    /// It is going to wait for a task. False when that can never end, because tasks start only when
    /// all have been submitted.
    bool submitter_waits();
    void submitter_goes_on();
    void all_submitted();
    /// No task is left. True when all tickets are idle; else `take` says so later, once.
    bool close();

private:
    using Clock = Timer::Clock;

    struct Entry {
        int64_t major;  ///< smaller is earlier
        int64_t minor;
        int64_t number;
        Task *task;
        bool operator>(const Entry &other) const;
    };
    /// Tasks that the same workers may take.
    struct Side {
        int worker = -1;                        ///< that they are pinned to
        std::vector<std::vector<Entry>> heaps;  ///< by pool, the earliest entry first
        std::vector<Task *> joins;
        std::vector<Job *> idle;     ///< tickets
        int64_t waiting = 0;         ///< entries and joins
        int64_t on_the_way = 0;      ///< tickets that have been sent
        const Job *timed = nullptr;  ///< a ticket that the timer holds
    };

    Side &side_of(const Job &ticket);
    Side &side_of(const Task &task);
    Entry entry_of(Task &task);
    void let_go(const Entry &entry);
    void flush_batch(int64_t keep);
    void flush_if_stuck();
    void start();
    Task *best(Side &side, bool all);
    bool is_due(Side &side, bool all);
    bool has_startable(const Side &side) const;
    void send(Side &side);
    void wait_for_time(Side &side, Job *ticket);

    Scheduler &scheduler_;
    const TaskRules rules_;
    const std::vector<PreparedSite> &sites_;
    std::vector<Job> tickets_;  ///< of any worker, then one for each worker

    std::mutex mutex_;
    std::vector<Side> sides_;  ///< of any worker, then of each
    std::vector<int64_t> pool_room_;
    std::vector<Entry> held_;  ///< of a batch that is not full, or before the start
    size_t held_from_ = 0;
    int64_t unfinished_ = 0;  ///< tasks that have been let go and have not ended
    int64_t numbers_ = 0;
    bool started_;
    bool submitting_ = true;
    int64_t active_ = 0;  ///< tickets that are not idle
    bool closing_ = false;

    /// Of each rank that is interleaved: the round of its next task, and how many it has there.
    struct Turn {
        int64_t round = 0;
        int64_t used = 0;
    };
    std::vector<Turn> turns_;
    int64_t round_ = 0;  ///< of the task taken last

    Clock::duration period_{};
    Clock::time_point next_start_;
};

}  // namespace pto::wsp::runtime
