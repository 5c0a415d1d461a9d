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
constexpr int largest_window = 1 << 24;

InternalError inconsistent(const std::string &text) {
    return {"task graph", text};
}

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
        return run.graph_.expand(run.state_->frame.data(), &run, run.bindings_.data(), step.budget);
    }
};

struct DynamicRun::Chain {
    DynamicRun *run;
    Worker *me;
    Task *task;  ///< that runs or comes next; null at the end of the chain
};

DynamicRun::DynamicRun(Scheduler &scheduler, std::shared_ptr<const Plan> plan,
                       std::vector<int64_t> bindings)
    : Run(scheduler, std::move(plan), std::move(bindings)), graph_(std::get<DynamicGraph>(*plan_)) {
    start_.run = this;
    prepare();
}

void DynamicRun::prepare() {
    if (graph_.expand == nullptr) {
        throw inconsistent("the graph has no expander");
    }
    if (graph_.frame_words < 1) {
        throw inconsistent("the expander's frame has " + std::to_string(graph_.frame_words) +
                           " words, expected at least 1");
    }
    if (graph_.window < 1 || graph_.window > largest_window) {
        throw inconsistent("the window holds " + std::to_string(graph_.window) +
                           " tasks, expected 1..." + std::to_string(largest_window));
    }
    for (int64_t cells : graph_.grids) {
        cell_count_ += cells;
    }
    for (const TaskSite &site : graph_.sites) {
        PreparedSite prepared{site.function, site.slot_count, {}};
        for (const Access &access : site.accesses) {
            prepared.accesses.push_back(prepare(access, site));
        }
        sites_.push_back(std::move(prepared));
        most_slots_ = std::max(most_slots_, site.slot_count);
    }
}

DynamicRun::PreparedAccess DynamicRun::prepare(const Access &access, const TaskSite &site) const {
    auto grid_count = static_cast<int>(graph_.grids.size());
    if (access.grid < 0 || access.grid >= grid_count) {
        throw inconsistent("an access of kernel " + site.name + " is in grid " +
                           std::to_string(access.grid) + " of " + std::to_string(grid_count));
    }
    PreparedAccess prepared{&access, 0, 0, graph_.grids[static_cast<size_t>(access.grid)] - 1,
                            false};
    for (int i = 0; i < access.grid; i++) {
        prepared.grid_begin += graph_.grids[static_cast<size_t>(i)];
    }
    for (const Access::Extent &extent : access.box) {
        int64_t reach = (extent.count - 1) * extent.stride;
        prepared.lowest -= std::min<int64_t>(reach, 0);
        prepared.highest -= std::max<int64_t>(reach, 0);
        prepared.empty = prepared.empty || extent.count <= 0;
    }
    return prepared;
}

void DynamicRun::run_job(Job &job, Worker &me) {
    if (&job == &start_ || &job == &state_->window.submitter()) {
        expand(me);
    } else {
        run_chain(static_cast<Task &>(job), me);
    }
}

void DynamicRun::expand(Worker &me) {
    scheduler_.set_running(me, false);
    if (!state_ && !allocate()) {
        end();
        return;
    }
    while (!expanded_ && !cancelled()) {
        int32_t budget = room();
        if (budget > 0) {
            expanded_ = !step(budget, me);
            if (!expanded_) {
                scheduler_.inject(state_->window.submitter());
                return;
            }
        } else if (wait_for_room()) {
            return;
        }
    }
    expanded_ = true;
    if (!wait_for_all()) {
        end();
    }
}

bool DynamicRun::allocate() {
    try {
        state_.emplace(State{Window(graph_.window, most_slots_), Cells(cell_count_),
                             std::vector<int64_t>(static_cast<size_t>(graph_.frame_words))});
    } catch (const std::bad_alloc &) {
        std::string text = "out of memory: " + std::to_string(cell_count_) + " cells and " +
                           std::to_string(graph_.window) + " tasks to track";
        fail("task graph", {}, -1, text.c_str());
        return false;
    }
    state_->window.submitter().run = this;
    return true;
}

int32_t DynamicRun::room() {
    int64_t limit = std::min<int64_t>(graph_.window, most_tasks_per_step);
    Window &window = state_->window;
    while (oldest_ < next_ && oldest_ + graph_.window - next_ < limit &&
           Window::ended(window.task(oldest_))) {
        oldest_++;
    }
    return static_cast<int32_t>(std::min(oldest_ + graph_.window - next_, limit));
}

/// One step of the expander; false when it submitted the last task or failed.
bool DynamicRun::step(int32_t budget, Worker &me) {
    budget_ = budget;
    expanding_ = &me;
    Step step{this, budget};
    const char *text = nullptr;
    abi::Status status = guarded_call(&Step::call, &step, &text);
    if (status != 0) {
        fail("task graph", {}, status, text);
        return false;
    }
    return state_->frame[0] != -1;
}

/// Waits for a task some way into the window, so that a step has enough to do. True when the
/// expander will be queued again, and then nothing of it may be touched.
bool DynamicRun::wait_for_room() {
    Window &window = state_->window;
    int64_t ahead = std::min<int64_t>(graph_.window / 4, most_tasks_per_step);
    Task &waiting = window.submitter();
    window.open(waiting);
    uint32_t links = 0;
    window.link(window.task(oldest_ + ahead), waiting, links);
    if (links == 0) {
        window.link(window.task(oldest_), waiting, links);
    }
    return !Window::release(waiting, links);
}

bool DynamicRun::wait_for_all() {
    Window &window = state_->window;
    Task &waiting = window.submitter();
    window.open(waiting);
    uint32_t links = 0;
    for (int64_t number = oldest_; number < next_; number++) {
        // A task with successors ends before them.
        if (Window::is_last(window.task(number))) {
            window.link(window.task(number), waiting, links);
        }
    }
    return !Window::release(waiting, links);
}

void DynamicRun::submit(int32_t site, const int64_t *slots, const int64_t *cells, int32_t worker) {
    if (budget_ == 0 || site < 0 || site >= static_cast<int32_t>(sites_.size())) {
        std::string text = budget_ == 0 ? "the expander submits more tasks than its budget"
                                        : "the expander submits to site " + std::to_string(site) +
                                              " of " + std::to_string(sites_.size());
        fail("task graph", {}, -1, text.c_str());
        return;
    }
    budget_--;
    const PreparedSite &prepared = sites_[static_cast<size_t>(site)];
    Task &task = state_->window.task(next_);
    state_->window.open(task);
    task.run = this;
    task.site = site;
    task.worker = worker < 0 ? -1 : worker % scheduler_.workers();
    task.mark = static_cast<uint32_t>(next_);
    std::copy_n(slots, prepared.slot_count, task.arguments());
    uint32_t links = 0;
    try {
        track(task, prepared, cells, links);
    } catch (const std::bad_alloc &) {
        fail("task graph", {}, -1, "out of memory while a task was linked");
    }
    next_++;
    if (Window::release(task, links)) {
        make_ready(task, *expanding_);
    }
}

void DynamicRun::track(Task &task, const PreparedSite &site, const int64_t *cells,
                       uint32_t &links) {
    for (size_t i = 0; i < site.accesses.size(); i++) {
        const PreparedAccess &access = site.accesses[i];
        if (access.empty) {
            continue;
        }
        if (cells[i] < access.lowest || cells[i] > access.highest) {
            std::string text = "access " + std::to_string(i) + " of kernel " +
                               graph_.sites[static_cast<size_t>(task.site)].name +
                               " begins at cell " + std::to_string(cells[i]) + ", expected " +
                               std::to_string(access.lowest) + "..." +
                               std::to_string(access.highest);
            fail("task graph", {}, -1, text.c_str());
            return;
        }
        touch(task, access, access.grid_begin + cells[i], links);
    }
}

void DynamicRun::touch(Task &task, const PreparedAccess &access, int64_t first, uint32_t &links) {
    Cells &cells = state_->cells;
    auto after = [&](int64_t number) { order_after(number, task, links); };
    const std::vector<Access::Extent> &box = access.access->box;
    for_each_cell(box.data(), box.data() + box.size(), first, [&](int64_t cell) {
        if (access.access->writes) {
            cells.write(cell, next_, after);
        } else {
            cells.read(cell, next_, oldest_ - 1, after);
        }
    });
}

void DynamicRun::order_after(int64_t number, Task &task, uint32_t &links) {
    if (number < oldest_ || number == next_) {
        return;
    }
    Task &before = state_->window.task(number);
    auto mark = static_cast<uint32_t>(next_);
    if (before.mark != mark) {
        before.mark = mark;
        state_->window.link(before, task, links);
    }
}

void DynamicRun::run_chain(Task &task, Worker &me) {
    scheduler_.set_running(me, true);
    Chain chain{this, &me, &task};
    const char *text = nullptr;
    // A chain ends early when a kernel fails; the failed task still has to be ended.
    while (abi::Status status = guarded_call(&DynamicRun::chain, &chain, &text)) {
        const TaskSite &site = graph_.sites[static_cast<size_t>(chain.task->site)];
        fail("kernel " + site.name, site.at, status, text);
        text = nullptr;
        chain.task = end_task(*chain.task, me);
        if (chain.task == nullptr) {
            return;
        }
    }
}

/// Runs a task and then, one after another, a successor that it made ready. As a task's end may be
/// the end of the run, nothing of the run is used after a null.
int DynamicRun::chain(void *closure) {
    auto &chain = *static_cast<Chain *>(closure);
    DynamicRun &run = *chain.run;
    Worker &me = *chain.me;
    Scheduler &scheduler = run.scheduler_;
    Tally &tally = run.tally(me);
    for (int length = 1; chain.task != nullptr; length++) {
        Task &task = *chain.task;
        abi::KernelFn function = run.sites_[static_cast<size_t>(task.site)].function;
        if (function != nullptr && !run.cancelled()) {
            uint64_t mark = scheduler.activity();
            abi::Status status = function(task.arguments());
            if (status != 0) {
                return status;
            }
            add(tally.tasks, 1);
            add(tally.parallel_tasks, scheduler.overlapped(mark) ? 1 : 0);
        }
        chain.task = run.end_task(task, me);
        if (chain.task != nullptr && length % chain_per_look == 0 && !me.inbox.empty()) {
            run.make_ready(*chain.task, me);
            return 0;
        }
    }
    return 0;
}

/// Ends a task and returns one that it made ready and that this worker runs next, the earliest in
/// program order: lists go from late to early.
Task *DynamicRun::end_task(Task &task, Worker &me) {
    Task *next = nullptr;
    Task *submitter = &state_->window.submitter();
    state_->window.close(task, [&](Task &ready) {
        bool mine = &ready != submitter && (ready.worker == -1 || ready.worker == me.index);
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
    if (&task == &state_->window.submitter()) {
        scheduler_.inject(task);
    } else if (task.worker >= 0) {
        scheduler_.deliver(task.worker, task);
    } else {
        scheduler_.push(me, task);
    }
}

}  // namespace pto::wsp::runtime

void pto_wsp_submit(void *graph, int32_t site, const int64_t *slots, const int64_t *cells,
                    int32_t worker) {
    static_cast<pto::wsp::runtime::DynamicRun *>(graph)->submit(site, slots, cells, worker);
}
