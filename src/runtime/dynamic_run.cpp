#include "runtime/dynamic_run.h"

#include <algorithm>
#include <new>
#include <string>

#include "pto/wsp/runtime/arena.h"

namespace pto::wsp::runtime {

namespace {

/// Tasks that one step submits at most, so that they are still in the cache when they run.
constexpr int64_t most_tasks_per_step = 256;
/// Tasks of a chain between two looks into the inbox.
constexpr int chain_per_look = 64;

template <typename Visit>
void for_each_cell(const Access::Extent *extent, const Access::Extent *end, int64_t cell,
                   Visit &&visit) {
    if (extent == end) {
        visit(cell);
        return;
    }
    for (int64_t i = 0; i < extent->count; i++) {
        for_each_cell(extent + 1, end, cell + i * extent->stride, visit);
    }
}

}  // namespace

struct DynamicRun::Step {
    DynamicRun *run;
    int32_t budget;

    static int call(void *closure) {
        auto &step = *static_cast<Step *>(closure);
        DynamicRun &run = *step.run;
        return run.processes_.step(&run, run.bindings_.data(), step.budget);
    }
};

struct DynamicRun::Chain {
    DynamicRun *run;
    Worker *me;
    Task *task;  ///< that runs or comes next; null at the end of the chain
};

DynamicRun::DynamicRun(Scheduler &scheduler, TrackingPool &pool, std::shared_ptr<const Plan> plan,
                       std::vector<int64_t> bindings, std::shared_ptr<Observer> observer)
    : Run(scheduler, std::move(plan), std::move(bindings), std::move(observer)),
      graph_(std::get<DynamicGraph>(*plan_)), pool_(pool), prepared_(graph_),
      watch_(observer_.get(), graph_), processes_(graph_, *this, [this] { poke(); }) {
    start_.run = this;
    if (graph_.window_rule) {
        gauge_.emplace(*graph_.window_rule, prepared_.sites);
    }
}

void DynamicRun::run_job(Job &job, Worker &me) {
    if (&job == &start_ || &job == &tracking_->window.submitter()) {
        expand(me);
    } else if (queue_ != nullptr && queue_->is_ticket(job)) {
        serve(job, me);
    } else {
        run_chain(static_cast<Task &>(job), me);
    }
}

/// Runs tasks of the ready queue. Other jobs get their turn after some of them.
void DynamicRun::serve(Job &ticket, Worker &me) {
    constexpr int tasks_per_turn = 16;
    queue_->arrive(ticket);
    for (int taken = 0; taken < tasks_per_turn; taken++) {
        const ReadyQueue::Taken next = queue_->take(ticket, cancelled());
        if (next.task == nullptr) {
            if (next.last) {
                finish();
            }
            return;
        }
        run_chain(*next.task, me);
    }
    queue_->yield(ticket);
}

void DynamicRun::expand(Worker &me) {
    scheduler_.set_running(me, false);
    if (tracking_ == nullptr && !allocate()) {
        processes_.leave();
        end();
        return;
    }
    while (!expanded_ && !cancelled()) {
        take_woken();
        const int32_t budget = room();
        if (budget == 0) {
            if (waits_for([this] { return wait_for_room(); })) {
                return;
            }
            continue;
        }
        step(budget, me);
        count_stall(budget);
        if (processes_.live() == 0 || cut_off_) {
            expanded_ = true;
        } else if (cancelled()) {
            break;
        } else if (processes_.runnable()) {
            scheduler_.inject(start_);
            return;
        } else if (processes_.waiters_out() == 0 &&
                   !processes_.waits_outside(forsaken_.exchange(false))) {
            // What was submitted still runs.
            deadlocked_ = expanded_ = true;
        } else if (!processes_.runnable() && waits_for([this] { return wake_list_.sleep(); })) {
            return;
        }
    }
    if (!expanded_) {
        waited_for_ = processes_.event_waits();
        give_up();
        expanded_ = true;
    }
    if (queue_ != nullptr) {
        queue_->all_submitted();
    }
    if (!wait_for_waiters() && !wait_for_all() && (queue_ == nullptr || queue_->close())) {
        finish();
    }
}

/// Waits by `wait`, which is true when the expander will be queued again.
template <typename Wait> bool DynamicRun::waits_for(Wait &&wait) {
    if (queue_ == nullptr) {
        return wait();
    }
    if (!queue_->submitter_waits()) {
        fail("task graph", {}, -1,
             "no task starts before all are submitted, and what comes next waits for one: use a "
             "larger window or start=threshold(n)");
        return false;
    }
    if (wait()) {
        return true;
    }
    queue_->submitter_goes_on();
    return false;
}

/// Counts a step that ended because the window was full.
void DynamicRun::count_stall(int64_t budget) {
    const bool full = tracking_->next - tracking_->step_begin == budget;
    if (gauge_ && gauge_->counts() && gauge_->limits() && full && processes_.live() > 0) {
        add(window_stalls_, 1);
    }
}

void DynamicRun::finish() {
    if (deadlocked_ && !cancelled()) {
        processes_.report_deadlock();
    }
    processes_.leave();
    if (gauge_ && gauge_->counts()) {
        most_in_flight_.store(gauge_->most_in_flight(), std::memory_order_relaxed);
    }
    watch_.end(*tracking_);
    if (undisturbed()) {
        pool_.put(std::move(tracking_));
    } else {
        // Not for others: tasks in it are marked as lost.
        number_failures();
        tracking_.reset();
    }
    end();
}

bool DynamicRun::allocate() {
    try {
        tracking_ = pool_.take(graph_.window, prepared_.most_slots, Processes::waiter_count(graph_),
                               prepared_.cell_count);
        processes_.begin();
        ready_.reserve(most_tasks_per_step);
        // So that nothing is thrown through the expander.
        tracking_->held.reserve(most_tasks_per_step);
        if (gauge_) {
            // What earlier runs left has ended and is not to be counted.
            tracking_->oldest = tracking_->next;
        }
        if (graph_.rules) {
            queue_ = std::make_unique<ReadyQueue>(scheduler_, *this, *graph_.rules, prepared_.sites,
                                                  graph_.window);
        }
        watch_.begin(*tracking_);
    } catch (const std::bad_alloc &) {
        std::string text = "out of memory: " + std::to_string(prepared_.cell_count) +
                           " cells and " + std::to_string(graph_.window) + " tasks to track";
        fail("task graph", {}, -1, text.c_str());
        return false;
    }
    tracking_->window.submitter().run = this;
    return true;
}

int32_t DynamicRun::room() {
    int64_t limit = std::min<int64_t>(graph_.window, most_tasks_per_step);
    Window &window = tracking_->window;
    while (tracking_->oldest < tracking_->next &&
           tracking_->oldest + graph_.window - tracking_->next < limit &&
           Window::ended(window.task(tracking_->oldest))) {
        if (!undisturbed()) {
            pass_oldest();
        }
        tracking_->oldest++;
    }
    limit = std::min(tracking_->oldest + graph_.window - tracking_->next, limit);
    return static_cast<int32_t>(gauge_ ? gauge_->room(*tracking_, limit) : limit);
}

/// The oldest task is about to leave the window in a run in which tasks failed.
void DynamicRun::pass_oldest() {
    if (!tracking_->window.task(tracking_->oldest).lost.load(std::memory_order_relaxed)) {
        return;
    }
    number_failures();
    try {
        lost_.add(tracking_->oldest);
    } catch (const std::bad_alloc &) {
        fail("task graph", {}, -1, "out of memory to remember the tasks that are lost");
    }
}

/// Gives the failed tasks that are still in the window their numbers among the tasks of the
/// program.
void DynamicRun::number_failures() {
    Run::number_failures([&](int64_t number) {
        int64_t before = submitted_;
        for (int64_t other = number; other < tracking_->next; other++) {
            const auto site = static_cast<size_t>(tracking_->window.task(other).site);
            before -= prepared_.sites[site].function == nullptr ? 0 : 1;
        }
        return before;
    });
}

/// One step of the expander: turns of processes.
void DynamicRun::step(int32_t budget, Worker &me) {
    tracking_->step_begin = tracking_->next;
    Step step{this, budget};
    const char *text = nullptr;
    if (watch_.expander() != nullptr) {
        watch_.expander()->step_began(me.index);
    }
    abi::Status status = guarded_call(&Step::call, &step, &text);
    published_.store(tracking_->next, std::memory_order_relaxed);
    publish(me);
    const bool linked = processes_.link_waiters(*tracking_);
    if (watch_.expander() != nullptr) {
        watch_.expander()->step_ended(me.index);
    }
    if (status != 0) {
        cut_off_ = true;
        record_failure(processes_.subject(), processes_.place(), status, text);
    } else if (!linked) {
        fail("task graph", {}, -1, "out of memory while a process waited for tasks");
    }
}

/// Hands out the tasks of a step. Not as they come, because workers that run tasks faster than they
/// are submitted would follow the submitter closely and fight with it for the same cache lines.
void DynamicRun::publish(Worker &me) {
    for (const Tracking::Held &held : tracking_->held) {
        if (!Window::release(*held.task, held.links)) {
            continue;
        }
        if (queue_ != nullptr) {
            queue_->put(*held.task);
        } else if (held.task->worker >= 0) {
            scheduler_.deliver(held.task->worker, *held.task);
        } else {
            ready_.push_back(held.task);
        }
    }
    scheduler_.push_all(me, ready_);
    ready_.clear();
    tracking_->held.clear();
    if (queue_ != nullptr) {
        queue_->submitted(submitted_);
    }
}

/// Waits for a task some way into the window, so that a step has enough to do. True when the
/// expander will be queued again, and then nothing of it may be touched.
bool DynamicRun::wait_for_room() {
    Window &window = tracking_->window;
    int64_t ahead = std::min<int64_t>(graph_.window / 4, most_tasks_per_step);
    Task &waiting = window.open_submitter();
    uint32_t links = 0;
    window.link(window.task(tracking_->oldest + ahead), waiting, links);
    if (links == 0) {
        window.link(window.task(tracking_->oldest), waiting, links);
    }
    return !Window::release(waiting, links);
}

void DynamicRun::take_woken() {
    Job *job = wake_list_.take();
    while (job != nullptr) {
        Job *next = job->next;
        if (job == &poke_) {
            // Reads what the poking thread wrote, so that what it did before is seen from here on.
            poked_.exchange(false, std::memory_order_acq_rel);
            if (!deadlocked_) {
                // What a deadlock is about is still to be told.
                processes_.poked();
            }
        } else {
            processes_.woken(*tracking_, static_cast<Task &>(*job));
        }
        job = next;
    }
}

/// At the end no waiter may be left behind a task. True as `wait_for_room`.
bool DynamicRun::wait_for_waiters() {
    take_woken();
    while (processes_.waiters_out() > 0) {
        if (wake_list_.sleep()) {
            return true;
        }
        take_woken();
    }
    return false;
}

/// Of the writer of a cell, when it has ended.
bool DynamicRun::is_lost_writer(int64_t number) {
    return number >= tracking_->oldest
               ? tracking_->window.task(number).lost.load(std::memory_order_relaxed)
               : lost_.contains(number);
}

bool DynamicRun::await(int32_t site, const int64_t *cells) {
    if (processes_.is_waiting() || cut_off_) {
        return false;
    }
    std::vector<int64_t> &awaited = processes_.awaited();
    const PreparedSite &prepared = prepared_.sites[static_cast<size_t>(site)];
    try {
        for (uint32_t i = prepared.first_access; i < prepared.last_access; i++, cells++) {
            const PreparedAccess &access = prepared_.accesses[i];
            if (*cells < access.lowest || *cells > access.highest) {
                fail("task graph", {}, -1, "a slot reads a cell that is not in its grid");
                return true;
            }
            for_each_cell(access.box->data(), access.box->data() + access.box->size(),
                          access.grid_begin + *cells, [&](int64_t cell) {
                              const int64_t writer = tracking_->cells.writer(cell);
                              if (writer < tracking_->next && !tracking_->has_ended(writer)) {
                                  awaited.push_back(writer);
                              } else if (!undisturbed() && is_lost_writer(writer)) {
                                  cut_off_ = true;
                              }
                          });
        }
    } catch (const std::bad_alloc &) {
        fail("task graph", {}, -1, "out of memory while a slot was filled");
    }
    if (cut_off_) {
        awaited.clear();
        record_failure("slot", graph_.sites[static_cast<size_t>(site)].at, -1,
                       "its value is one that a failed task should have written; what follows "
                       "in program order did not run");
        return false;
    }
    if (awaited.empty()) {
        return true;
    }
    processes_.wait_for_awaited();
    return false;
}

bool DynamicRun::wait_for_all() {
    bool all = false;
    while (!all) {
        Task &waiting = tracking_->window.open_submitter();
        uint32_t links = 0;
        all = link_behind_all(waiting, links);
        if (!Window::release(waiting, links)) {
            return true;
        }
    }
    return false;
}

/// False without memory for more links: then `waiting` waits for some first, which needs none.
bool DynamicRun::link_behind_all(Task &waiting, uint32_t &links) {
    Window &window = tracking_->window;
    try {
        for (int64_t number = tracking_->oldest; number < tracking_->next; number++) {
            // A task with successors ends before them.
            if (Window::is_last(window.task(number))) {
                window.link(window.task(number), waiting, links);
            }
        }
    } catch (const std::bad_alloc &) {
        return false;
    }
    return true;
}

void DynamicRun::submit(int32_t site, const int64_t *slots, const int64_t *cells, int32_t worker) {
    try {
        submit_task(site, slots, cells, worker);
    } catch (const std::bad_alloc &) {
        fail("task graph", {}, -1, "out of memory while a task was submitted");
    }
}

void DynamicRun::submit_task(int32_t site, const int64_t *slots, const int64_t *cells,
                             int32_t worker) {
    const bool known = static_cast<size_t>(site) < prepared_.sites.size();
    if (!known || !processes_.submits(*tracking_)) {
        std::string text = known ? "the expander submits more tasks than its budget"
                                 : "the expander submits to site " + std::to_string(site) + " of " +
                                       std::to_string(prepared_.sites.size());
        fail(processes_.subject(), processes_.place(), -1, text.c_str());
        return;
    }
    const PreparedSite &prepared = prepared_.sites[static_cast<size_t>(site)];
    submitted_ += prepared.function != nullptr ? 1 : 0;
    if (gauge_) {
        const std::string wrong = gauge_->submit(*tracking_, prepared);
        if (!wrong.empty()) {
            fail("task graph", graph_.sites[static_cast<size_t>(site)].at, -1, wrong.c_str());
        }
    }
    Submission submission(*tracking_, undisturbed() ? nullptr : &lost_);
    Task &task = submission.task();
    task.run = this;
    task.site = site;
    task.worker =
        static_cast<int16_t>(worker < 0 ? Task::any_worker : worker % scheduler_.workers());
    int64_t *arguments = task.arguments();
    for (int i = 0; i < prepared.slot_count; i++) {
        arguments[i] = slots[i];
    }
    if (graph_.keeps_indices) {
        keep_indices(task, arguments + prepared.slot_count);
    }
    track(submission, prepared, cells);
    if (processes_.gathers()) {
        processes_.gather(submission, *tracking_, graph_.sites[static_cast<size_t>(site)]);
    }
    watch_.submitted(*tracking_, task, cells, processes_.frame());
    submission.finish();
}

void DynamicRun::keep_indices(const Task &task, int64_t *to) const {
    const int64_t *frame = processes_.frame();
    for (const TaskSite::Loop &loop : graph_.sites[static_cast<size_t>(task.site)].loops) {
        *to++ = frame[loop.word];
    }
}

void DynamicRun::track(Submission &submission, const PreparedSite &site, const int64_t *cells) {
    try {
        for (uint32_t i = site.first_access; i < site.last_access; i++, cells++) {
            const PreparedAccess &access = prepared_.accesses[i];
            int64_t first = access.grid_begin + *cells;
            if (access.empty) {
                continue;
            }
            if (*cells < access.lowest || *cells > access.highest) {
                refuse_cell(submission.task(), i - site.first_access, *cells);
                return;
            }
            if (access.single) {
                submission.touch(first, access);
                continue;
            }
            for_each_cell(access.box->data(), access.box->data() + access.box->size(), first,
                          [&](int64_t cell) { submission.touch(cell, access); });
        }
    } catch (const std::bad_alloc &) {
        fail("task graph", {}, -1, "out of memory while a task was linked");
    }
}

void DynamicRun::refuse_cell(const Task &task, int64_t number, int64_t cell) {
    auto site = static_cast<size_t>(task.site);
    const PreparedAccess &access =
        prepared_.accesses[prepared_.sites[site].first_access + static_cast<size_t>(number)];
    std::string text = "access " + std::to_string(number) + " of kernel " +
                       graph_.sites[site].name + " begins at cell " + std::to_string(cell) +
                       ", expected " + std::to_string(access.lowest) + "..." +
                       std::to_string(access.highest);
    fail("task graph", {}, -1, text.c_str());
}

void DynamicRun::run_chain(Task &task, Worker &me) {
    scheduler_.set_running(me, true);
    Chain chain{this, &me, &task};
    const char *text = nullptr;
    // A chain ends early when a kernel fails; the failed task still has to be ended.
    while (abi::Status status = guarded_call(&DynamicRun::chain, &chain, &text)) {
        fail_task(*chain.task, status, text, me);
        text = nullptr;
        if (watch_) {
            watch_.ended(*chain.task, me.index, 0, status);
        }
        chain.task = end_task<true>(*chain.task, me);
        if (chain.task == nullptr) {
            return;
        }
    }
}

void DynamicRun::fail_task(Task &task, abi::Status status, const char *text, Worker &me) {
    const TaskSite &site = graph_.sites[static_cast<size_t>(task.site)];
    Failure failure;
    failure.what.kernel = site.name;
    if (graph_.keeps_indices) {
        for (size_t i = 0; i < site.loops.size(); i++) {
            failure.what.indices.emplace_back(
                site.loops[i].name, task.arguments()[static_cast<size_t>(site.slot_count) + i]);
        }
    }
    // The one number of its slot among those that may be in the window.
    const int64_t last = published_.load(std::memory_order_relaxed) - 1;
    const int64_t capacity = tracking_->window.capacity();
    failure.task = last - (last - static_cast<int64_t>(task.index)) % capacity;
    add(tally(me).failed, 1);
    record_failure("kernel " + site.name, site.at, status, text, std::move(failure));
}

/// False when the task is not to run, though it is its turn; then it is counted.
bool DynamicRun::may_run(const Task &task, Worker &me) {
    const bool is_cancelled = cancelled();
    if (!is_cancelled && !task.lost.load(std::memory_order_relaxed)) {
        return true;
    }
    const bool is_join = prepared_.sites[static_cast<size_t>(task.site)].function == nullptr;
    if (!is_join) {
        add(tally(me).skipped, 1);
        if (is_cancelled) {
            give_up();
        }
    }
    return false;
}

/// Runs a task and then, one after another, a successor that it made ready. As a task's end may be
/// the end of the run, nothing of the run is used after a null.
int DynamicRun::chain(void *closure) {
    auto &chain = *static_cast<Chain *>(closure);
    DynamicRun &run = *chain.run;
    Worker &me = *chain.me;
    Scheduler &scheduler = run.scheduler_;
    Tally &tally = run.tally(me);
    const bool observed = static_cast<bool>(run.watch_);
    for (int length = 1; chain.task != nullptr; length++) {
        Task &task = *chain.task;
        abi::KernelFn function = run.prepared_.sites[static_cast<size_t>(task.site)].function;
        const bool runs = run.undisturbed() || run.may_run(task, me);
        if (function != nullptr && runs) {
            uint64_t mark = scheduler.activity();
            if (observed) {
                run.watch_.began(task, me.index);
            }
            abi::Status status = function(task.arguments());
            if (status != 0) {
                return status;
            }
            if (observed) {
                run.watch_.ended(task, me.index, 1, 0);
            }
            add(tally.tasks, 1);
            add(tally.parallel_tasks, scheduler.overlapped(mark) ? 1 : 0);
        } else if (function == nullptr) {
            if (observed) {
                run.watch_.began(task, me.index);
                run.watch_.ended(task, me.index, 0, 0);
            }
            run.end_join(task);
        }
        chain.task = runs ? run.end_task<false>(task, me) : run.end_task<true>(task, me);
        if (chain.task != nullptr && length % chain_per_look == 0 && !me.inbox.empty()) {
            run.make_ready(*chain.task, me);
            return 0;
        }
    }
    return 0;
}

/// Ends a task and returns one that it made ready and that this worker runs next, the earliest in
/// program order: lists go from late to early.
template <bool is_lost> Task *DynamicRun::end_task(Task &task, Worker &me) {
    if (queue_ != nullptr) {
        const int pool = queue_->pool_of(task);
        tracking_->window.close<is_lost>(task, [&](Task &ready) { make_ready(ready, me); });
        queue_->ended(pool);
        return nullptr;
    }
    Task *next = nullptr;
    tracking_->window.close<is_lost>(task, [&](Task &ready) {
        bool mine = ready.worker == Task::any_worker || ready.worker == me.index;
        Task *other = mine ? next : &ready;
        if (mine) {
            next = &ready;
        }
        if (other != nullptr) {
            make_ready(*other, me);
        }
    });
    return next;
}

void DynamicRun::make_ready(Task &task, Worker &me) {
    if (queue_ != nullptr && task.worker >= Task::any_worker) {
        queue_->put(task);
    } else if (task.worker >= 0) {
        scheduler_.deliver(task.worker, task);
    } else if (task.worker == Task::any_worker) {
        scheduler_.push(me, task);
    } else if (&task == &tracking_->window.submitter()) {
        if (queue_ != nullptr) {
            queue_->submitter_goes_on();
        }
        scheduler_.inject(task);
    } else {
        wake(task);
    }
}

void DynamicRun::wake(Job &job) {
    if (wake_list_.put(job)) {
        if (queue_ != nullptr) {
            queue_->submitter_goes_on();
        }
        scheduler_.inject(start_);
    }
}

void DynamicRun::poke() {
    if (!poked_.exchange(true, std::memory_order_acq_rel)) {
        wake(poke_);
    }
}

/// What a join does that is a record, also when it is lost: whoever waits for the event learns by
/// the run's error what became of the tasks before.
void DynamicRun::end_join(const Task &task) {
    const TaskSite &site = graph_.sites[static_cast<size_t>(task.site)];
    if (site.event >= 0) {
        processes_.recorded(site);
    }
}

void DynamicRun::forsake() {
    if (processes_.is_stalled()) {
        forsaken_.store(true);
        poke();
    }
}

void DynamicRun::cancel() {
    Run::cancel();
    poke();
}

}  // namespace pto::wsp::runtime

void pto_wsp_submit(void *graph, int32_t site, const int64_t *slots, const int64_t *cells,
                    int32_t worker) {
    static_cast<pto::wsp::runtime::DynamicRun *>(graph)->submit(site, slots, cells, worker);
}
