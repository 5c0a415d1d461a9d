#include "runtime/ready_queue.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <tuple>

namespace pto::wsp::runtime {

namespace {

/// Tasks that start late catch up with their rate by so much at most.
constexpr std::chrono::milliseconds longest_lag{10};
/// So that a run that is cancelled does not wait for the timer longer.
constexpr std::chrono::milliseconds longest_sleep{10};

std::vector<int64_t> room_of(const TaskRules &rules, int workers) {
    std::vector<int64_t> room = rules.pools;
    const auto pools = static_cast<int64_t>(room.size());
    for (int64_t pool = 0; pool < pools; pool++) {
        int64_t &size = room[static_cast<size_t>(pool)];
        if (size == 0) {
            size = std::max<int64_t>((workers + pools - 1 - pool) / pools, 1);
        }
    }
    if (room.empty()) {
        room.push_back(INT64_MAX);
    }
    return room;
}

}  // namespace

bool ReadyQueue::Entry::operator>(const Entry &other) const {
    return std::tie(major, minor, number) > std::tie(other.major, other.minor, other.number);
}

ReadyQueue::ReadyQueue(Scheduler &scheduler, Run &run, const TaskRules &rules,
                       const std::vector<PreparedSite> &sites, int64_t window)
    : scheduler_(scheduler), rules_(rules), sites_(sites),
      tickets_(2 * static_cast<size_t>(scheduler.workers())),
      pool_room_(room_of(rules, scheduler.workers())),
      started_(rules.start_after == 0 && !rules.start_at_end),
      turns_(static_cast<size_t>(std::max<int64_t>(rules.ranks, 1))) {
    const auto workers = static_cast<size_t>(scheduler.workers());
    sides_.resize(workers + 1);
    for (size_t s = 0; s < sides_.size(); s++) {
        sides_[s].worker = static_cast<int>(s) - 1;
        sides_[s].heaps.resize(pool_room_.size());
    }
    for (size_t t = 0; t < tickets_.size(); t++) {
        tickets_[t].run = &run;
        sides_[t < workers ? 0 : t - workers + 1].idle.push_back(&tickets_[t]);
    }
    // What any worker takes is put without asking for memory.
    for (std::vector<Entry> &heap : sides_[0].heaps) {
        heap.reserve(static_cast<size_t>(window));
    }
    if (rules.tasks_per_ms > 0) {
        period_ = std::chrono::duration_cast<Clock::duration>(
            std::chrono::duration<double, std::milli>(1 / rules.tasks_per_ms));
    }
}

ReadyQueue::Side &ReadyQueue::side_of(const Job &ticket) {
    const auto number = static_cast<size_t>(&ticket - tickets_.data());
    const size_t workers = sides_.size() - 1;
    return sides_[number < workers ? 0 : number - workers + 1];
}

ReadyQueue::Side &ReadyQueue::side_of(const Task &task) {
    return sides_[static_cast<size_t>(task.worker + 1)];
}

int ReadyQueue::pool_of(Task &task) const {
    const PreparedSite &site = sites_[static_cast<size_t>(task.site)];
    if (site.function == nullptr) {
        return -1;
    }
    if (site.pool_slot < 0) {
        return site.pool;
    }
    return static_cast<int>(task.arguments()[site.pool_slot] %
                            static_cast<int64_t>(pool_room_.size()));
}

ReadyQueue::Entry ReadyQueue::entry_of(Task &task) {
    const PreparedSite &site = sites_[static_cast<size_t>(task.site)];
    const int64_t rank = site.rank_slot < 0 ? 0 : task.arguments()[site.rank_slot];
    const int64_t number = numbers_++;
    switch (rules_.order) {
    case TaskRules::Order::Fifo:
        break;
    case TaskRules::Order::Newest:
        return {0, 0, -number, &task};
    case TaskRules::Order::Priority:
        return {~rank, 0, number, &task};
    case TaskRules::Order::Interleaved: {
        Turn &turn = turns_[static_cast<size_t>(rank) % turns_.size()];
        if (turn.round < round_) {
            turn = {round_, 0};
        }
        if (turn.used == rules_.in_a_row) {
            turn = {turn.round + 1, 0};
        }
        turn.used++;
        return {turn.round, rank, number, &task};
    }
    }
    return {0, 0, number, &task};
}

void ReadyQueue::put(Task &task) {
    std::lock_guard lock(mutex_);
    if (pool_of(task) < 0) {
        Side &side = side_of(task);
        side.joins.push_back(&task);
        side.waiting++;
        unfinished_++;
        send(side);
        return;
    }
    const Entry entry = entry_of(task);
    if (started_ && rules_.batch <= 1) {
        let_go(entry);
        return;
    }
    held_.push_back(entry);
    if (started_ && static_cast<int64_t>(held_.size() - held_from_) >= rules_.batch) {
        flush_batch(0);
    }
}

void ReadyQueue::let_go(const Entry &entry) {
    Side &side = side_of(*entry.task);
    std::vector<Entry> &heap = side.heaps[static_cast<size_t>(pool_of(*entry.task))];
    if (rules_.tasks_per_ms > 0 && side.waiting == 0) {
        next_start_ = std::max(next_start_, Clock::now());
    }
    heap.push_back(entry);
    std::push_heap(heap.begin(), heap.end(), std::greater<>());
    side.waiting++;
    unfinished_++;
    send(side);
}

/// Lets go of held tasks until `keep` are left.
void ReadyQueue::flush_batch(int64_t keep) {
    while (static_cast<int64_t>(held_.size() - held_from_) > keep) {
        let_go(held_[held_from_++]);
    }
    if (held_from_ == held_.size()) {
        held_.clear();
        held_from_ = 0;
    }
}

/// Lets go of the rest of a batch when nothing else can make a task ready.
void ReadyQueue::flush_if_stuck() {
    if (started_ && unfinished_ == 0 && !submitting_) {
        flush_batch(0);
    }
}

void ReadyQueue::start() {
    if (!started_) {
        started_ = true;
        const auto held = static_cast<int64_t>(held_.size() - held_from_);
        flush_batch(held % std::max<int64_t>(rules_.batch, 1));
    }
}

void ReadyQueue::send(Side &side) {
    while (!side.idle.empty() && side.on_the_way < side.waiting) {
        Job *ticket = side.idle.back();
        side.idle.pop_back();
        active_++;
        side.on_the_way++;
        if (side.worker < 0) {
            scheduler_.inject(*ticket);
        } else {
            scheduler_.deliver(side.worker, *ticket);
        }
    }
}

void ReadyQueue::arrive(Job &ticket) {
    std::lock_guard lock(mutex_);
    Side &side = side_of(ticket);
    if (side.timed == &ticket) {
        side.timed = nullptr;
    } else {
        side.on_the_way--;
    }
}

void ReadyQueue::yield(Job &ticket) {
    std::lock_guard lock(mutex_);
    Side &side = side_of(ticket);
    side.on_the_way++;
    if (side.worker < 0) {
        scheduler_.inject(ticket);
    } else {
        scheduler_.deliver(side.worker, ticket);
    }
}

bool ReadyQueue::has_startable(const Side &side) const {
    for (size_t pool = 0; pool < side.heaps.size(); pool++) {
        if (!side.heaps[pool].empty() && pool_room_[pool] > 0) {
            return true;
        }
    }
    return false;
}

/// Whether the rate lets a task start now; counts it.
bool ReadyQueue::is_due(Side &side, bool all) {
    if (all || rules_.tasks_per_ms <= 0) {
        return true;
    }
    const Clock::time_point now = Clock::now();
    if (now < next_start_) {
        return false;
    }
    next_start_ = std::max(next_start_, now - longest_lag) + period_;
    if (side.waiting > 1) {
        // The next one is due while this worker is busy.
        wait_for_time(side, nullptr);
    }
    return true;
}

/// Has a ticket come when the next task may start: `ticket`, or an idle one.
void ReadyQueue::wait_for_time(Side &side, Job *ticket) {
    if (side.timed != nullptr || (ticket == nullptr && side.idle.empty())) {
        return;
    }
    if (ticket == nullptr) {
        ticket = side.idle.back();
        side.idle.pop_back();
        active_++;
    }
    side.timed = ticket;
    scheduler_.inject_at(*ticket, side.worker, std::min(next_start_, Clock::now() + longest_sleep));
}

Task *ReadyQueue::best(Side &side, bool all) {
    std::vector<Entry> *found = nullptr;
    size_t pool_found = 0;
    for (size_t pool = 0; pool < side.heaps.size(); pool++) {
        std::vector<Entry> &heap = side.heaps[pool];
        if (!heap.empty() && (all || pool_room_[pool] > 0) &&
            (found == nullptr || found->front() > heap.front())) {
            found = &heap;
            pool_found = pool;
        }
    }
    if (found == nullptr) {
        return nullptr;
    }
    std::pop_heap(found->begin(), found->end(), std::greater<>());
    const Entry entry = found->back();
    found->pop_back();
    side.waiting--;
    pool_room_[pool_found]--;
    if (rules_.order == TaskRules::Order::Interleaved) {
        round_ = std::max(round_, entry.major);
    }
    return entry.task;
}

ReadyQueue::Taken ReadyQueue::take(Job &ticket, bool all) {
    std::lock_guard lock(mutex_);
    Side &side = side_of(ticket);
    if (all) {
        start();
        flush_batch(0);
    }
    if (!side.joins.empty()) {
        Task *join = side.joins.back();
        side.joins.pop_back();
        side.waiting--;
        return {join};
    }
    if (all ? side.waiting > 0 : has_startable(side)) {
        if (is_due(side, all)) {
            return {best(side, all)};
        }
        if (side.timed == nullptr) {
            wait_for_time(side, &ticket);
            return {};
        }
    }
    side.idle.push_back(&ticket);
    active_--;
    return {nullptr, closing_ && active_ == 0};
}

void ReadyQueue::ended(int pool) {
    std::lock_guard lock(mutex_);
    unfinished_--;
    if (pool >= 0) {
        pool_room_[static_cast<size_t>(pool)]++;
    }
    if (!rules_.pools.empty()) {
        for (Side &side : sides_) {
            if (has_startable(side)) {
                send(side);
            }
        }
    }
    flush_if_stuck();
}

void ReadyQueue::submitted(int64_t count) {
    if (count < rules_.start_after || rules_.start_at_end || rules_.start_after == 0) {
        return;
    }
    std::lock_guard lock(mutex_);
    start();
}

bool ReadyQueue::submitter_waits() {
    std::lock_guard lock(mutex_);
    if (!started_ && rules_.start_at_end) {
        return false;
    }
    start();
    submitting_ = false;
    flush_if_stuck();
    return true;
}

void ReadyQueue::submitter_goes_on() {
    std::lock_guard lock(mutex_);
    submitting_ = true;
}

void ReadyQueue::all_submitted() {
    std::lock_guard lock(mutex_);
    start();
    submitting_ = false;
    flush_if_stuck();
}

bool ReadyQueue::close() {
    std::lock_guard lock(mutex_);
    closing_ = true;
    return active_ == 0;
}

}  // namespace pto::wsp::runtime
