#include "added_cycles.h"

#include <algorithm>

#include "pto/wsp/backend/cpu/cpp_body.h"

namespace pto::wsp {

AddedCycles::AddedCycles(int workers, std::shared_ptr<runtime::Observer> next)
    : ForwardingObserver(std::move(next)), records_(static_cast<size_t>(workers)) {}

void AddedCycles::began(int worker, const runtime::Work &work) {
    ForwardingObserver::began(worker, work);
    // What a body added that another run, or nobody, watched.
    (void)backend::cpu::take_added_cycles();
}

void AddedCycles::ended(int worker, const runtime::Work &work, int64_t tasks, abi::Status status) {
    const int64_t cycles = backend::cpu::take_added_cycles();
    Record &record = records_[static_cast<size_t>(worker)];
    if (work.task >= 0 && status == 0) {
        record.tasks += tasks;
        if (cycles != 0) {
            record.added.push_back({work.task, cycles});
        }
    }
    ForwardingObserver::ended(worker, work, tasks, status);
}

int64_t AddedCycles::tasks() const {
    int64_t sum = 0;
    for (const Record &record : records_) {
        sum += record.tasks;
    }
    return sum;
}

std::vector<int64_t> AddedCycles::by_task() const {
    std::vector<int64_t> result;
    for (const Record &record : records_) {
        for (const Added &added : record.added) {
            const auto task = static_cast<size_t>(added.task);
            result.resize(std::max(result.size(), task + 1));
            result[task] = added.cycles;
        }
    }
    return result;
}

}  // namespace pto::wsp
