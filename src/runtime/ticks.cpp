#include "runtime/ticks.h"

#include <thread>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace pto::wsp::runtime {

namespace {

using Clock = std::chrono::steady_clock;

bool counter_is_invariant() {
#if defined(__x86_64__)
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __get_cpuid(0x80000007, &a, &b, &c, &d) != 0 && (d & (1U << 8)) != 0;
#else
    return false;
#endif
}

/// Both clocks at one moment.
struct Moment {
    Clock::time_point time;
    int64_t tick = 0;
};

/// Of some readings the one in which the least time passed between the two sides.
Moment moment() {
    Moment best;
    int64_t least = INT64_MAX;
    for (int i = 0; i < 8; i++) {
        const int64_t before = ticks();
        const Clock::time_point time = Clock::now();
        const int64_t after = ticks();
        if (after - before < least) {
            least = after - before;
            best = {time, before + (after - before) / 2};
        }
    }
    return best;
}

double measure(const Moment &begin) {
    constexpr std::chrono::milliseconds shortest{10};
    std::this_thread::sleep_until(begin.time + shortest);
    const Moment end = moment();
    const std::chrono::duration<double, std::nano> time = end.time - begin.time;
    return time.count() / static_cast<double>(end.tick - begin.tick);
}

}  // namespace

const bool ticks_of_processor = counter_is_invariant();

namespace {
const Moment process_start = moment();
}

double nanoseconds_per_tick() {
    static const double length =
        ticks_of_processor ? measure(process_start) : 1e9 * Clock::period::num / Clock::period::den;
    return length;
}

}  // namespace pto::wsp::runtime
