#pragma once

#include <chrono>
#include <cstdint>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

namespace pto::wsp::runtime {

/// Whether `ticks` reads the processor's time stamp counter: where that runs at one speed on all
/// cores, whatever they do (CPUID 8000_0007, EDX bit 8).
extern const bool ticks_of_processor;

/// The time now, in ticks: some nanoseconds to read. Waits for what comes before it in the program,
/// so that what a task has loaded or computed lies between the two stamps around it.
inline int64_t ticks() {
#if defined(__x86_64__)
    if (ticks_of_processor) {
        unsigned core = 0;
        return static_cast<int64_t>(__rdtscp(&core));
    }
#endif
    return std::chrono::steady_clock::now().time_since_epoch().count();
}

/// Length of a tick, measured against the steady clock since the start of the process (for at least
/// 10 ms: the first call waits for them).
double nanoseconds_per_tick();

}  // namespace pto::wsp::runtime
