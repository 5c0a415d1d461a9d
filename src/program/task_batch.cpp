#include "task_batch.h"

#include <array>
#include <bit>
#include <chrono>
#include <memory>
#include <vector>

#include <fmt/format.h>

#include "pto/wsp/runtime/arena.h"
#include "pto/wsp/runtime/executor.h"
#include "pto/wsp/support/error.h"

namespace pto::wsp {

namespace {

/// What waking workers and waiting for them costs, about.
constexpr double worth_waking_ns = 60'000;
constexpr std::chrono::milliseconds look_around(20);

/// A loop of core/abi.h over the tasks of a batch, whose address is the first binding. A kernel may
/// leave it by a long jump, so nothing here may need a destructor while one runs.
abi::Status run_range(const int64_t *bindings, int64_t begin, int64_t end) {
    const auto &batch = *std::bit_cast<const TaskBatch *>(bindings[0]);
    std::array<int64_t, TaskBatch::most_slots> slots;
    int64_t &announced = *pto_wsp_progress();
    for (int64_t task = begin; task < end; ++task) {
        announced = task;
        if (!batch.bind(task, slots.data())) {
            continue;
        }
        if (const abi::Status status = batch.function(slots.data()); status != 0) {
            return status;
        }
    }
    return 0;
}

void run_here(const TaskBatch &batch, const Loc &at) {
    const int64_t binding = std::bit_cast<int64_t>(&batch);
    struct Closure {
        const int64_t *bindings;
        int64_t tasks;
    } closure{&binding, batch.tasks};
    const char *text = nullptr;
    const int status = runtime::guarded_call(
        [](void *data) {
            const auto *all = static_cast<const Closure *>(data);
            return static_cast<int>(run_range(all->bindings, 0, all->tasks));
        },
        &closure, &text);
    if (status != 0) {
        throw KernelError(at, fmt::format("{}: {}", batch.name, text != nullptr ? text : "failed"));
    }
}

void run_on_workers(const TaskBatch &batch, const std::function<void()> &while_waiting,
                    const Loc &at) {
    const runtime::StaticLoop loop{&run_range, batch.tasks, 1, batch.name, at};
    auto plan = std::make_shared<const runtime::Plan>(std::vector<runtime::Phase>{{loop}});
    const std::shared_ptr<runtime::Execution> run =
        runtime::Executor::shared().start(std::move(plan), {std::bit_cast<int64_t>(&batch)});
    if (!while_waiting) {
        run->wait(std::nullopt);
    }
    try {
        while (!run->wait(look_around)) {
            while_waiting();
        }
    } catch (...) {
        run->cancel();
        run->wait(std::nullopt);
        throw;
    }
    run->rethrow();
}

}  // namespace

void run_tasks(const TaskBatch &batch, const std::function<void()> &while_waiting, const Loc &at) {
    if (batch.tasks <= 1 || batch.work_ns < worth_waking_ns) {
        run_here(batch, at);
    } else {
        run_on_workers(batch, while_waiting, at);
    }
}

}  // namespace pto::wsp
