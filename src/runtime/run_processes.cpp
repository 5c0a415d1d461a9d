#include <new>

#include "pto/wsp/core/abi.h"
#include "runtime/dynamic_run.h"

namespace pto::wsp::runtime {

namespace {

/// `call()`, or `otherwise` after the run has failed for want of memory.
template <typename Result, typename Call>
Result with_memory(DynamicRun &run, Result otherwise, Call &&call) {
    try {
        return call();
    } catch (const std::bad_alloc &) {
        run.fail(FailureKind::Kernel, {}, "task graph: out of memory for processes and channels");
        return otherwise;
    }
}

}  // namespace

bool DynamicRun::run_processes(int32_t first, int32_t count) {
    return with_memory(*this, true, [&] { return processes_.run_processes(first, count); });
}

bool DynamicRun::may_send(int32_t channel, int32_t site) {
    return with_memory(*this, true, [&] { return processes_.may_send(channel, site); });
}

bool DynamicRun::try_send(int32_t channel, int32_t site) {
    // What has ended by now counts.
    take_woken();
    return with_memory(*this, false, [&] { return processes_.try_send(channel, site); });
}

void DynamicRun::send(int32_t channel, const int64_t *values, int32_t count) {
    const int64_t token =
        with_memory(*this, int64_t(-1), [&] { return processes_.send(channel, values, count); });
    if (token >= 0 && watch_.expander() != nullptr) {
        watch_.expander()->sent(channel, token, processes_.current());
    }
}

bool DynamicRun::meet(int32_t site) {
    return with_memory(*this, true, [&] { return processes_.meet(*tracking_, site); });
}

bool DynamicRun::taken(int32_t channel) {
    return with_memory(*this, true, [&] { return processes_.taken(channel); });
}

int32_t DynamicRun::receive(std::span<const int32_t> channels, std::span<int64_t> token) {
    const int32_t got = with_memory(
        *this, int32_t(-1), [&] { return processes_.receive(*tracking_, channels, token); });
    if (got > 0 && watch_.expander() != nullptr) {
        watch_.expander()->received(channels[static_cast<size_t>(token[0])], token[1],
                                    processes_.current());
    }
    return got;
}

}  // namespace pto::wsp::runtime

namespace {

pto::wsp::runtime::DynamicRun &run_of(void *graph) {
    return *static_cast<pto::wsp::runtime::DynamicRun *>(graph);
}

}  // namespace

int32_t pto_wsp_await(void *graph, int32_t site, const int64_t *cells) {
    return run_of(graph).await(site, cells) ? 1 : 0;
}

int32_t pto_wsp_meet(void *graph, int32_t site) {
    return run_of(graph).meet(site) ? 1 : 0;
}

int32_t pto_wsp_run_processes(void *graph, int32_t first, int32_t count) {
    return run_of(graph).run_processes(first, count) ? 1 : 0;
}

int32_t pto_wsp_may_send(void *graph, int32_t channel, int32_t line_site) {
    return run_of(graph).may_send(channel, line_site) ? 1 : 0;
}

int32_t pto_wsp_try_send(void *graph, int32_t channel, int32_t line_site) {
    return run_of(graph).try_send(channel, line_site) ? 1 : 0;
}

int64_t pto_wsp_next_token(void *graph, int32_t channel) {
    return run_of(graph).next_token(channel);
}

void pto_wsp_send(void *graph, int32_t channel, const int64_t *values, int32_t count) {
    run_of(graph).send(channel, values, count);
}

int32_t pto_wsp_taken(void *graph, int32_t channel) {
    return run_of(graph).taken(channel) ? 1 : 0;
}

int32_t pto_wsp_receive(void *graph, const int32_t *channels, int32_t count, int64_t *token,
                        int32_t words) {
    return run_of(graph).receive({channels, static_cast<size_t>(count)},
                                 {token, static_cast<size_t>(words)});
}

void pto_wsp_close(void *graph, int32_t channel) {
    run_of(graph).close(channel);
}
