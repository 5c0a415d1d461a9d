#include <cstdint>
#include <cstdlib>
#include <new>

#include <gtest/gtest.h>

#include "runtime/graphs.h"

namespace {

/// Allocations of this thread from this size on fail.
thread_local size_t refused_from_bytes = SIZE_MAX;

}  // namespace

[[gnu::noinline]] void *operator new(size_t bytes) {
    void *memory = bytes < refused_from_bytes ? std::malloc(bytes) : nullptr;
    if (memory == nullptr) {
        throw std::bad_alloc();
    }
    return memory;
}
/// All forms, or memory of a sanitizer's own would come to these.
[[gnu::noinline]] void *operator new(size_t bytes, const std::nothrow_t & /*tag*/) noexcept {
    return bytes < refused_from_bytes ? std::malloc(bytes) : nullptr;
}
[[gnu::noinline]] void operator delete(void *memory, const std::nothrow_t & /*tag*/) noexcept {
    std::free(memory);
}
[[gnu::noinline]] void operator delete(void *memory) noexcept {
    std::free(memory);
}
[[gnu::noinline]] void operator delete(void *memory, size_t) noexcept {
    std::free(memory);
}

namespace pto::wsp::runtime::testing {
namespace {

constexpr int64_t many = 40;

abi::Status count(const int64_t *slots) {
    at_address<int64_t>(slots[0])++;
    return 0;
}

/// Independent tasks, after which this thread gets no large memory any more.
abi::Status expand_then_refuse(int64_t *frame, void *graph, const int64_t *bindings, int32_t) {
    for (int64_t cell = 0; cell < many; cell++) {
        pto_wsp_submit(graph, 0, bindings, &cell, -1);
    }
    frame[0] = -1;
    refused_from_bytes = 4096;
    return 0;
}

/// One task more than the budget, with no memory to say so.
abi::Status expand_too_much(int64_t *frame, void *graph, const int64_t *bindings, int32_t budget) {
    refused_from_bytes = 0;
    for (int64_t cell = 0; cell <= budget; cell++) {
        pto_wsp_submit(graph, 0, bindings, &cell, -1);
    }
    refused_from_bytes = SIZE_MAX;
    frame[0] = -1;
    return 0;
}

DynamicGraph counting(abi::ExpandFn expand) {
    DynamicGraph graph;
    graph.processes = {main_process(expand)};
    graph.sites = {site_of(&count, 1, {writing(0)})};
    graph.grids = {1000};
    return graph;
}

TEST(OutOfMemory, TheEndOfARunNeedsNone) {
    Executor executor(1);
    int64_t counted = 0;
    RunStats stats = run(executor, plan_of(counting(&expand_then_refuse)), {address(&counted)});
    EXPECT_EQ(counted, many);
    EXPECT_EQ(stats.tasks, many);
}

TEST(OutOfMemory, NothingIsThrownThroughTheExpander) {
    Executor executor(1);
    int64_t counted = 0;
    try {
        run(executor, plan_of(counting(&expand_too_much)), {address(&counted)});
        FAIL() << "nothing is thrown";
    } catch (const KernelError &error) {
        EXPECT_EQ(error.text(), "out of memory");
    }
}

}  // namespace
}  // namespace pto::wsp::runtime::testing
