#include "schedule/contradictions.h"

#include <algorithm>

#include "pto/wsp/support/text.h"
#include "pto/wsp/workload/builder.h"
#include "pto/wsp/workload/names.h"
#include "schedule/policy_table.h"

namespace pto::wsp::schedule {

namespace {

using workload::Workload;

/// What is wrong, and what to do instead; empty text when nothing is.
struct Finding {
    std::string text;
    std::string hint;
};

/// A schedule with the questions that the rules below ask of it.
struct Question {
    const TaskSchedule &schedule;
    const Workload &workload;

    const Policy *find(Part part, std::string_view policy) const {
        const Policy *found = schedule.find(part);
        return found != nullptr && found->is(policy) ? found : nullptr;
    }
    /// What the part is called in errors.
    std::string said(Part part) const {
        const Policy &policy = *schedule.find(part);
        return has_one_policy(part) ? policy.str() : std::string(name(part)) + "=" + policy.str();
    }
    /// What makes a choice between ready tasks, if anything does.
    std::optional<Part> chooser() const {
        if (find(Part::Ready, "priority") != nullptr) {
            return Part::Ready;
        }
        if (find(Part::Timing, "interleaved") != nullptr) {
            return Part::Timing;
        }
        return std::nullopt;
    }
    /// The part that allows the fewest tasks to be ready at a time, and how many; of those with a
    /// number of lanes of their own.
    std::optional<std::pair<Part, int64_t>> fewest_lanes() const {
        std::optional<std::pair<Part, int64_t>> result;
        if (const Policy *dispatch = find(Part::Dispatch, "round_robin")) {
            result = {Part::Dispatch, dispatch->count("lanes")};
        }
        const int64_t streams = schedule.streams();
        if (streams > 0 && (!result || streams < result->second)) {
            result = {Part::Streams, streams};
        }
        return result;
    }
    /// Bytes of the arguments of all tasks in loops of constant size.
    int64_t all_bytes() const {
        int64_t sum = 0;
        workload::for_each_task(*workload.root,
                                [&](const workload::TaskNode &task, const workload::LoopPath &path,
                                    const workload::Node &) {
                                    int64_t bytes = argument_bytes(task);
                                    for (const workload::LoopVar *loop : path) {
                                        bytes *= loop->axis.constant().value_or(1);
                                    }
                                    sum += bytes;
                                });
        return sum;
    }
    /// Tasks of the window; 0 for none or another unit.
    int64_t window_tasks() const {
        const Policy *window = schedule.find(Part::Window);
        const bool tasks = window != nullptr && window->get<std::string>("unit") == "tasks";
        return tasks ? window->count("size") : 0;
    }
};

std::string number(int64_t value) {
    return std::to_string(value);
}

Finding window_size(const Question &ask) {
    const int64_t size = ask.window_tasks();
    if (size <= largest_window) {
        return {};
    }
    return {"task_graph: the window holds 1..." + number(largest_window) + " tasks, got " +
                number(size),
            "a window of bytes may be larger"};
}

Finding streams_missing(const Question &ask) {
    const Policy *key = ask.schedule.find(Part::StreamBy);
    if (key == nullptr || ask.schedule.streams() > 0) {
        return {};
    }
    return {key->str() + ": the number of streams is not given", "add streams(n)"};
}

Finding interleaved_streams(const Question &ask) {
    const Policy *timing = ask.find(Part::Timing, "interleaved");
    if (timing == nullptr) {
        return {};
    }
    constexpr int64_t most = 65536;
    const int64_t own = timing->count("streams");
    const int64_t streams = ask.schedule.streams();
    if (own == 0 && streams == 0) {
        return {timing->str() + ": there are no streams to take in turn",
                "add streams(n), or give their number: interleaved(4)"};
    }
    if (own > 0 && streams > 0 && own != streams) {
        return {timing->str() + " takes " + number(own) + " streams in turn, and streams(" +
                    number(streams) + ") makes " + number(streams),
                "leave the number out of one of them"};
    }
    if (std::max(own, streams) > most) {
        return {timing->str() + ": at most " + number(most) + " streams are taken in turn, got " +
                    number(std::max(own, streams)),
                "use fewer streams"};
    }
    return {};
}

Finding two_choosers(const Question &ask) {
    const Policy *timing = ask.find(Part::Timing, "interleaved");
    const Policy *ready = ask.schedule.find(Part::Ready);
    if (timing == nullptr || ready == nullptr) {
        return {};
    }
    return {ask.said(Part::Timing) + " and " + ask.said(Part::Ready) +
                " both say which ready task is next",
            "leave one of them out"};
}

Finding one_task_a_worker(const Question &ask) {
    const auto chooser = ask.chooser();
    if (!chooser || ask.find(Part::Dispatch, "affinity") == nullptr) {
        return {};
    }
    return {ask.said(*chooser) + " has no effect under " + ask.said(Part::Dispatch) +
                ": each worker has one ready task at a time",
            "use dispatch_by, hash or round_robin, whose lanes any worker takes, or leave one out"};
}

Finding nothing_to_steal(const Question &ask) {
    if (ask.find(Part::Ready, "work_steal") == nullptr ||
        ask.find(Part::Dispatch, "affinity") == nullptr) {
        return {};
    }
    return {ask.said(Part::Ready) + " contradicts " + ask.said(Part::Dispatch) +
                ": tasks that are pinned to workers cannot be stolen",
            "use dispatch_by, whose lanes any worker takes, or ready=fifo()"};
}

Finding one_lane(const Question &ask) {
    const auto lanes = ask.fewest_lanes();
    const auto chooser = ask.chooser();
    if (!lanes || lanes->second > 1 || !chooser) {
        return {};
    }
    return {ask.said(*chooser) + " has no effect under " + ask.said(lanes->first) +
                ": one task is ready at a time",
            "use more lanes, or leave one out"};
}

Finding batch_never_full(const Question &ask) {
    const Policy *timing = ask.find(Part::Timing, "batched");
    if (timing == nullptr) {
        return {};
    }
    const int64_t size = timing->count("n");
    const int64_t window = ask.window_tasks();
    if (window > 0 && size > window) {
        return {timing->str() + " is never full in a window of " + number(window) + " tasks",
                "use a window of at least " + number(size) + " tasks, or batched(" +
                    number(window) + ")"};
    }
    const auto lanes = ask.fewest_lanes();
    if (lanes && size > lanes->second) {
        return {timing->str() + " is never full under " + ask.said(lanes->first) + ": at most " +
                    number(lanes->second) + " tasks are ready at a time",
                "use batched(" + number(lanes->second) + "), or " + number(size) +
                    " lanes or more"};
    }
    return {};
}

Finding start_needs_room(const Question &ask) {
    const Policy *threshold = ask.find(Part::Start, "threshold");
    const int64_t window = ask.window_tasks();
    if (threshold != nullptr && window > 0 && threshold->count("n") > window) {
        return {threshold->str() + ": a window of " + number(window) + " tasks never holds as many",
                "use a window of at least " + number(threshold->count("n")) + " tasks"};
    }
    if (ask.find(Part::Start, "after_orchestration") == nullptr) {
        return {};
    }
    const auto tasks = workload::constant_task_count(*ask.workload.root);
    const int64_t most = window > 0 ? window : largest_window;
    if (tasks && *tasks > most) {
        return {"after_orchestration(): " + number(*tasks) + " tasks do not fit a window of " +
                    number(most),
                "use threshold(n)" + (*tasks <= largest_window
                                          ? ", or a window of at least " + number(*tasks) + " tasks"
                                          : std::string())};
    }
    const Policy *bytes = ask.schedule.find(Part::Window);
    if (bytes != nullptr && window == 0 && ask.all_bytes() > bytes->count("size")) {
        return {"after_orchestration(): the arguments of all tasks are " + number(ask.all_bytes()) +
                    " bytes, and the window holds " + number(bytes->count("size")),
                "use threshold(n), or a window of as many bytes"};
    }
    if (ask.workload.uses_slots()) {
        return {"after_orchestration(): slots are filled by tasks, and what follows them is "
                "submitted after these",
                "use threshold(n)"};
    }
    return {};
}

Finding slots_need_data(const Question &ask) {
    if (ask.find(Part::Deps, "explicit") == nullptr || !ask.workload.uses_slots()) {
        return {};
    }
    return {"deps=explicit: slots wait for the tasks that write what they load, which no edge says",
            "use hybrid, whose edges are added to what the data says"};
}

Finding custom_pools(const Question &ask) {
    const Policy *pools = ask.find(Part::Pools, "by_kernel");
    if (pools == nullptr) {
        return {};
    }
    const auto count = static_cast<int64_t>(pools->get<std::vector<int64_t>>("sizes").size());
    for (const auto &[kernel, pool] : pools->get<std::map<std::string, int64_t>>("kernels")) {
        if (pool >= count) {
            return {"pools: kernel " + quoted(kernel) + " is of pool " + number(pool) + ", and " +
                        number(count) + " have sizes",
                    "pools are counted from 0; give each a size"};
        }
    }
    for (const workload::KernelPtr &kernel : ask.workload.kernels()) {
        if (!pools->get<std::map<std::string, int64_t>>("kernels").contains(kernel->name)) {
            return {"pools: kernel " + quoted(kernel->name) + " has no pool",
                    "give each kernel its pool"};
        }
    }
    return {};
}

constexpr Finding (*rules[])(const Question &) = {
    window_size,      streams_missing, interleaved_streams, two_choosers,     one_task_a_worker,
    nothing_to_steal, one_lane,        batch_never_full,    start_needs_room, slots_need_data,
    custom_pools,
};

}  // namespace

void check_contradictions(const TaskSchedule &schedule, const Workload &workload, const Loc &at) {
    const Question question{schedule, workload};
    for (const auto &rule : rules) {
        const Finding found = rule(question);
        if (!found.text.empty()) {
            throw ScheduleError(at, found.text, {}, found.hint);
        }
    }
}

}  // namespace pto::wsp::schedule
