#include "runtime/dynamic_run.h"

namespace {

using pto::wsp::runtime::DynamicRun;

DynamicRun &run_of(void *graph) {
    return *static_cast<DynamicRun *>(graph);
}

}  // namespace

int32_t pto_wsp_run_processes(void *graph, int32_t /*first*/, int32_t /*count*/) {
    run_of(graph).refuse_channels();
    return 1;
}

int32_t pto_wsp_may_send(void *graph, int32_t /*channel*/, int32_t /*line_site*/) {
    run_of(graph).refuse_channels();
    return 1;
}

int32_t pto_wsp_try_send(void *graph, int32_t /*channel*/, int32_t /*line_site*/) {
    run_of(graph).refuse_channels();
    return 0;
}

int64_t pto_wsp_next_token(void *graph, int32_t /*channel*/) {
    run_of(graph).refuse_channels();
    return 0;
}

void pto_wsp_send(void *graph, int32_t /*channel*/, const int64_t * /*values*/, int32_t /*count*/) {
    run_of(graph).refuse_channels();
}

int32_t pto_wsp_taken(void *graph, int32_t /*channel*/) {
    run_of(graph).refuse_channels();
    return 1;
}

int32_t pto_wsp_receive(void *graph, const int32_t * /*channels*/, int32_t /*count*/,
                        int64_t * /*token*/, int32_t /*words*/) {
    run_of(graph).refuse_channels();
    return -1;
}

void pto_wsp_close(void *graph, int32_t /*channel*/) {
    run_of(graph).refuse_channels();
}
