// What this machine can do at this moment, for measure.py: called from Python threads.

#include <chrono>
#include <cstdint>

namespace {

#if defined(__AVX512F__)
constexpr int lanes = 16;
#else
constexpr int lanes = 8;
#endif
using Vector = float __attribute__((vector_size(lanes * sizeof(float))));

double seconds_since(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

extern "C" {

/// GF/s of independent fused multiply-adds that stay in registers.
double probe_fma(int64_t steps) {
    // Twelve chains hide the latency of two units.
    constexpr int chains = 12;
    Vector sums[chains];
    for (int i = 0; i < chains; ++i) {
        sums[i] = Vector{} + static_cast<float>(i);
    }
    const Vector factor = Vector{} + 0.999999f;
    const Vector addend = Vector{} + 1e-6f;
    const auto start = std::chrono::steady_clock::now();
    for (int64_t step = 0; step < steps; ++step) {
#pragma GCC unroll 12
        for (int i = 0; i < chains; ++i) {
            sums[i] = sums[i] * factor + addend;
        }
    }
    const double elapsed = seconds_since(start);
    volatile float sink = 0;
    for (int i = 0; i < chains; ++i) {
        sink = sink + sums[i][0];
    }
    return 2.0 * chains * lanes * static_cast<double>(steps) / elapsed / 1e9;
}

/// GB/s of reading `count` floats at `memory` in order.
double probe_read(const float *memory, int64_t count) {
    constexpr int streams = 8;
    Vector sums[streams] = {};
    const auto start = std::chrono::steady_clock::now();
    for (int64_t at = 0; at + streams * lanes <= count; at += streams * lanes) {
#pragma GCC unroll 8
        for (int i = 0; i < streams; ++i) {
            Vector value;
            __builtin_memcpy(&value, memory + at + i * lanes, sizeof value);
            sums[i] += value;
        }
    }
    const double elapsed = seconds_since(start);
    volatile float sink = 0;
    for (int i = 0; i < streams; ++i) {
        sink = sink + sums[i][0];
    }
    return 4.0 * static_cast<double>(count) / elapsed / 1e9;
}
}
