#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "pto/wsp/runtime/executor.h"

namespace pto::wsp::runtime::testing {

/// A deadlock fails the test instead of hanging it.
inline constexpr std::chrono::seconds time_limit{60};

inline int64_t address(const void *pointer) {
    return reinterpret_cast<int64_t>(pointer);
}

template <typename T> T &at_address(int64_t slot) {
    return *reinterpret_cast<T *>(slot);
}

template <typename T> std::shared_ptr<const Plan> plan_of(T value) {
    return std::make_shared<const Plan>(std::move(value));
}

inline TaskSite site_of(abi::KernelFn function, int slot_count, std::vector<Access> accesses,
                        std::string name = "k") {
    TaskSite site;
    site.name = std::move(name);
    site.function = function;
    site.slot_count = slot_count;
    site.accesses = std::move(accesses);
    site.at = {"user.py", 7};
    return site;
}

inline Access reading(int grid, std::vector<Access::Extent> box = {}) {
    return {grid, true, false, std::move(box)};
}

inline Access writing(int grid, std::vector<Access::Extent> box = {}) {
    return {grid, false, true, std::move(box)};
}

inline Access updating(int grid, std::vector<Access::Extent> box = {}) {
    return {grid, true, true, std::move(box)};
}

/// Runs to the end, rethrows, returns the figures.
inline RunStats run(Executor &executor, std::shared_ptr<const Plan> plan,
                    std::vector<int64_t> bindings = {}) {
    std::shared_ptr<Execution> execution = executor.start(std::move(plan), std::move(bindings));
    EXPECT_TRUE(execution->wait(time_limit)) << "the run does not end";
    execution->rethrow();
    return execution->stats();
}

/// The workload itself.
inline Process main_process(abi::ExpandFn expand) {
    return {"main", expand, 1, {}, {}, {}};
}

/// A list of tasks to submit, read by `expand_script`; binding 0 is its address.
struct Submission {
    int32_t site = 0;
    std::vector<int64_t> slots;
    std::vector<int64_t> cells;
    int32_t worker = -1;
};
using Script = std::vector<Submission>;

inline abi::Status expand_script(int64_t *frame, void *graph, const int64_t *bindings,
                                 int32_t budget) {
    const auto &script = at_address<const Script>(bindings[0]);
    for (; budget > 0 && frame[0] < static_cast<int64_t>(script.size()); budget--) {
        const Submission &next = script[static_cast<size_t>(frame[0]++)];
        pto_wsp_submit(graph, next.site, next.slots.data(), next.cells.data(), next.worker);
    }
    if (frame[0] == static_cast<int64_t>(script.size())) {
        frame[0] = -1;
    }
    return 0;
}

inline DynamicGraph scripted(std::vector<TaskSite> sites, std::vector<int64_t> grids,
                             int window = 8192) {
    DynamicGraph graph;
    graph.processes = {main_process(&expand_script)};
    graph.sites = std::move(sites);
    graph.grids = std::move(grids);
    graph.window = window;
    return graph;
}

}  // namespace pto::wsp::runtime::testing
