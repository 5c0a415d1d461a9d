#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "pto/wsp/support/json.h"

/// Interleaved measurements in one process: every round runs each contestant for about the same
/// time, in turn, between two probes of the machine. Rounds in which the probe fell by more than
/// 3 % of its best are left out where seven others are left.
namespace bench {

using Clock = std::chrono::steady_clock;

struct Contestant {
    std::string name;
    std::function<void()> run;
    /// Greatest error of what `run` left, in the unit of the contest.
    std::function<double()> error = nullptr;
};

/// What one contestant reached; `ratio` is its time over that of the first.
struct Row {
    std::string name;
    double median_us = 0;
    double spread_us = 0;  ///< median absolute deviation
    double ratio = 1;
    double error = 0;
};

inline double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    size_t half = values.size() / 2;
    return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

inline double seconds(const std::function<void()> &run, int times) {
    auto start = Clock::now();
    for (int i = 0; i < times; ++i) {
        run();
    }
    return std::chrono::duration<double>(Clock::now() - start).count() / times;
}

/// Fused multiply-adds per second that registers alone allow, GF/s, for some 0.1 ms.
inline double probe_fma() {
    constexpr int chains = 12;
    constexpr int steps = 40000;
    using Vector = float __attribute__((vector_size(64)));
    Vector sums[chains];
    for (int i = 0; i < chains; ++i) {
        sums[i] = Vector{} + static_cast<float>(i);
    }
    const Vector factor = Vector{} + 0.999999f;
    auto start = Clock::now();
    for (int step = 0; step < steps; ++step) {
        for (int i = 0; i < chains; ++i) {
            sums[i] = sums[i] * factor + 1e-6f;
        }
    }
    double elapsed = std::chrono::duration<double>(Clock::now() - start).count();
    volatile float sink = 0;
    for (Vector &sum : sums) {
        sink = sink + sum[0];
    }
    return 2.0 * chains * 16 * steps / elapsed / 1e9;
}

/// Medians of `rounds` interleaved rounds; fills `probe` with the median of the probe.
inline std::vector<Row> measure(const std::vector<Contestant> &contestants, int rounds,
                                double *probe = nullptr) {
    constexpr double sample_seconds = 2e-3;
    std::vector<int> times;
    for (const Contestant &each : contestants) {
        each.run();
        double once = seconds(each.run, 1);
        times.push_back(std::clamp(static_cast<int>(sample_seconds / once), 1, 1 << 20));
    }
    std::vector<std::vector<double>> samples(contestants.size());
    std::vector<double> probes;
    double before = probe_fma();
    for (int round = 0; round < rounds; ++round) {
        for (size_t i = 0; i < contestants.size(); ++i) {
            samples[i].push_back(seconds(contestants[i].run, times[i]));
        }
        double after = probe_fma();
        probes.push_back(std::min(before, after));
        before = after;
    }
    double best = *std::max_element(probes.begin(), probes.end());
    std::vector<size_t> counted;
    for (size_t round = 0; round < probes.size(); ++round) {
        if (probes[round] >= 0.97 * best) {
            counted.push_back(round);
        }
    }
    if (counted.size() < 7) {
        counted.clear();
        for (size_t round = 0; round < probes.size(); ++round) {
            counted.push_back(round);
        }
    }
    std::vector<Row> rows;
    for (size_t i = 0; i < contestants.size(); ++i) {
        std::vector<double> kept;
        for (size_t round : counted) {
            kept.push_back(samples[i][round] * 1e6);
        }
        Row row;
        row.name = contestants[i].name;
        row.median_us = median(kept);
        std::vector<double> away;
        for (double value : kept) {
            away.push_back(std::abs(value - row.median_us));
        }
        row.spread_us = median(away);
        row.ratio = rows.empty() ? 1 : row.median_us / rows[0].median_us;
        contestants[i].run();
        row.error = contestants[i].error ? contestants[i].error() : 0;
        rows.push_back(row);
    }
    if (probe != nullptr) {
        *probe = median(probes);
    }
    return rows;
}

}  // namespace bench
