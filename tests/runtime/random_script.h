#pragma once

#include <algorithm>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "graphs.h"

namespace pto::wsp::runtime::testing {

/// Random tasks on one grid: site 0 reads a cell and updates another, site 1 writes one, site 2 is
/// a join that updates one.
struct RandomScript {
    static constexpr int64_t cells = 12;
    Script script;

    RandomScript(uint32_t seed, int tasks) {
        std::mt19937 random(seed);
        auto cell = [&] { return static_cast<int64_t>(random() % cells); };
        for (int i = 0; i < tasks; i++) {
            switch (random() % 8) {
            case 0:
                script.push_back({2, {}, {cell()}, -1});
                break;
            case 1:
            case 2:
                script.push_back({1, {0}, {cell()}, static_cast<int32_t>(random() % 4) - 1});
                break;
            default:
                script.push_back({0, {0}, {cell(), cell()}, -1});
            }
        }
    }

    DynamicGraph graph(abi::KernelFn kernel, int window = 64) const {
        return scripted({site_of(kernel, 1, {reading(0), updating(0)}, "read"),
                         site_of(kernel, 1, {writing(0)}, "write"),
                         site_of(nullptr, 0, {updating(0)}, "join")},
                        {cells}, window);
    }

    int64_t tasks() const {
        return std::count_if(script.begin(), script.end(),
                             [](const Submission &each) { return each.site != 2; });
    }

    /// What each submission waits for, by the definition: of each cell its last writer, and for who
    /// writes it all that have read it since.
    std::set<std::pair<int64_t, int64_t>> dependences() const {
        struct Cell {
            int64_t writer = -1;
            std::set<int64_t> readers;
        };
        std::vector<Cell> state(cells);
        std::set<std::pair<int64_t, int64_t>> result;
        for (int64_t task = 0; task < static_cast<int64_t>(script.size()); task++) {
            const Submission &each = script[static_cast<size_t>(task)];
            auto after = [&](int64_t before) {
                if (before >= 0 && before != task) {
                    result.emplace(before, task);
                }
            };
            for (size_t i = 0; i < each.cells.size(); i++) {
                Cell &cell = state[static_cast<size_t>(each.cells[i])];
                after(cell.writer);
                if (each.site == 0 && i == 0) {
                    cell.readers.insert(task);
                    continue;
                }
                std::for_each(cell.readers.begin(), cell.readers.end(), after);
                cell = {task, {}};
            }
        }
        return result;
    }
};

}  // namespace pto::wsp::runtime::testing
