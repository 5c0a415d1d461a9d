#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "pto/wsp/workload/dependence.h"
#include "workload/samples.h"

namespace pto::wsp::workload::test {

/// Random small workloads: loops, groups and tasks over tensors of which some share memory.
/// Dynamic ones have every kind of axis, branches, slots, pipes, indirect and partial regions too.
class Generator {
public:
    explicit Generator(uint64_t seed, bool is_dynamic = false)
        : random_(seed), is_dynamic_(is_dynamic), has_slots_(is_dynamic && number(0, 2) == 0) {
        make_tensors();
        for (const kernel::Direction direction :
             {kernel::Direction::In, kernel::Direction::Out, kernel::Direction::InOut}) {
            kernels_[direction] = declare(kernel::name(direction),
                                          {any("x", kernel::Direction::In), any("y", direction)});
        }
    }

    Workload make() {
        Builder builder("random");
        builder.set_symbol("n", number(0, 4));
        builder.set_table("lengths", table(entries, 0, 4));
        builder.set_table("starts", starts());
        builder.set_table("places", table(entries * 4, 0, entries - 1));
        const int64_t statements = number(1, 3);
        for (int64_t i = 0; i < statements; ++i) {
            statement(builder, 0, 1);
        }
        return builder.finish();
    }

    std::vector<LaneRule> lanes() {
        std::vector<LaneRule> result;
        if (number(0, 2) == 0) {
            result.push_back({"dispatch", {}, number(1, 3), false, {}});
        }
        if (number(0, 2) == 0) {
            result.push_back({"stream", ScalarExpr(number(0, 5)), number(1, 3), false, {}});
        }
        return result;
    }

private:
    static constexpr int64_t entries = 6;

    static ScalarExpr mod(const ScalarExpr &a, int64_t by) {
        return ScalarExpr::make(ScalarExpr::Op::Mod, {a, by});
    }

    RunData::Values table(int64_t size, int64_t low, int64_t high) {
        std::vector<int64_t> values;
        for (int64_t i = 0; i < size; ++i) {
            values.push_back(number(low, high));
        }
        return std::make_shared<const std::vector<int64_t>>(std::move(values));
    }

    /// Where `entries` rows of up to 4 places begin, and the end.
    RunData::Values starts() {
        std::vector<int64_t> values{0};
        for (int64_t i = 0; i < entries; ++i) {
            values.push_back(values.back() + number(0, 4));
        }
        return std::make_shared<const std::vector<int64_t>>(std::move(values));
    }

    /// An integer that only the run knows, at least 0.
    ScalarExpr run_time_value() {
        const ScalarExpr variable =
            loops_.empty() ? ScalarExpr(number(0, 3))
                           : var(loops_[static_cast<size_t>(
                                            number(0, static_cast<int64_t>(loops_.size()) - 1))]
                                     .first);
        switch (number(0, has_slots_ ? 4 : 2)) {
        case 0:
            return ScalarExpr::symbol("n");
        case 1:
            return ScalarExpr::load("places", mod(variable, entries * 4));
        case 2:
            return ScalarExpr::load("lengths", mod(variable, entries));
        default:
            return ScalarExpr::slot(number(0, 1));
        }
    }

    int64_t number(int64_t low, int64_t high) {
        return std::uniform_int_distribution<int64_t>(low, high)(random_);
    }

    static kernel::Param any(const std::string &name, kernel::Direction direction) {
        return tile(name, direction, at(name + ".rows"), at(name + ".columns"));
    }

    /// Views of one memory of 8 rows of 12: the whole, column and row parts, the transpose, the
    /// flat array, overlapping and broadcast views; and a tensor of its own.
    void make_tensors() {
        const TensorView memory = allocate_tensor({96}, DType::F32);
        const auto add = [&](const std::string &name, int64_t offset, Shape shape, Shape strides) {
            TensorView view = memory;
            view.data = static_cast<float *>(memory.data) + offset;
            view.shape = std::move(shape);
            view.strides = std::move(strides);
            tensors_.push_back(std::make_shared<Tensor>(Tensor{name, view, {}}));
        };
        const int64_t kind = number(0, 8);
        if (kind == 0 || kind > 5) {
            add("A", 0, {8, 12}, {12, 1});
        }
        if (kind == 1 || kind == 6) {
            add("L", 0, {8, 6}, {12, 1});
            add("R", 6, {8, 6}, {12, 1});
        }
        if (kind == 8) {
            add("D", 0, {4, 4}, {12, 12});
        }
        if (kind == 2) {
            add("T", 0, {12, 8}, {1, 12});
            add("U", 0, {6, 2, 8}, {2, 1, 12});
        }
        if (kind == 3 || kind == 7) {
            add("F", 0, {96}, {1});
        }
        if (kind == 4) {
            add("S", 0, {10, 6}, {3, 1});
            add("N", 95, {8, 12}, {-12, -1});
        }
        if (kind == 5) {
            add("E", 0, {24}, {2});
            add("O", 1, {24}, {2});
            add("B", 60, {4, 6}, {0, 1});
        }
        numbers_ = tensor("I", {4}, DType::I32);
        for (int i = 0; i < 4; ++i) {
            static_cast<int32_t *>(numbers_->view.data)[i] = static_cast<int32_t>(number(0, 5));
        }
        // Long accesses to the second make long cells.
        tensors_.push_back(number(0, 2) != 0 ? tensor("Z", {number(6, 30), 5})
                                             : tensor("G", {number(200, 400)}));
    }

    void statement(Builder &builder, int depth, int64_t tasks) {
        if (is_dynamic_ && depth < 4 && number(0, 2) == 0) {
            return dynamic_statement(builder, depth, tasks);
        }
        const int64_t what = depth >= 4 ? 0 : number(0, 9);
        const int64_t size = number(0, 19) == 0 ? 0 : number(1, 5);
        if (what >= 3 && what <= 7 && tasks * size <= 30) {
            const std::string id =
                builder.open_loop(what == 7, {Axis::Kind::Dense, size, "", {}}, {});
            loops_.emplace_back(id, size);
            body(builder, depth, tasks * size);
            loops_.pop_back();
            builder.close();
        } else if (what >= 8) {
            builder.open_group(what == 9);
            body(builder, depth, tasks);
            builder.close();
        } else {
            task(builder);
        }
    }

    void dynamic_statement(Builder &builder, int depth, int64_t tasks) {
        const int64_t what = number(0, has_slots_ ? 5 : 3);
        if (what == 4) {
            builder.set_slot(number(0, 1), mod(run_time_value(), 4));
        } else if (what == 5) {
            builder.load_slot(number(0, 1),
                              index(whole(numbers_), builder.index_of(mod(run_time_value(), 4))));
        } else if (what == 3) {
            branch(builder, depth, tasks);
        } else if (tasks * 4 <= 30) {
            loops_.emplace_back(open_dynamic(builder), 4);
            body(builder, depth, tasks * 4);
            loops_.pop_back();
            builder.close();
        } else {
            task(builder);
        }
    }

    void branch(Builder &builder, int depth, int64_t tasks) {
        for (int64_t i = number(1, 2); i > 0; --i) {
            builder.open_when(
                ScalarExpr::make(ScalarExpr::Op::Lt, {run_time_value(), number(0, 4)}));
            body(builder, depth, tasks);
            builder.close();
        }
        if (number(0, 1) == 0) {
            builder.open_otherwise();
            body(builder, depth, tasks);
            builder.close();
        }
    }

    /// A loop of at most 4 iterations.
    std::string open_dynamic(Builder &builder) {
        const ScalarExpr outer = loops_.empty() ? ScalarExpr(1) : var(loops_.back().first);
        const Builder::Order order(number(0, 3) == 0, 0);
        switch (number(0, 5)) {
        case 0:
            return builder.open_loop(order,
                                     {Axis::Kind::DenseDyn, ScalarExpr::symbol("n"), "", {}});
        case 1:
            return builder.open_loop(
                order,
                {Axis::Kind::Ragged, ScalarExpr::load("lengths", mod(outer, entries)), "", {}});
        case 2: {
            const ScalarExpr row = mod(outer, entries);
            const ScalarExpr first = ScalarExpr::load("starts", row);
            const ScalarExpr next =
                ScalarExpr::load("starts", ScalarExpr::make(ScalarExpr::Op::Add, {row, 1}));
            return builder.open_selected(
                {Axis::Kind::Sparse, ScalarExpr::make(ScalarExpr::Op::Sub, {next, first}), "", {}},
                "places", first);
        }
        case 3:  // a triangle
            return builder.open_loop(
                order,
                {Axis::Kind::DenseDyn,
                 number(0, 1) == 0 ? mod(outer, 4)
                                   : ScalarExpr::make(ScalarExpr::Op::Sub, {number(2, 4), outer}),
                 "",
                 {}});
        default:
            return builder.open_loop({false, number(1, 3)},
                                     {Axis::Kind::Dense, number(1, 4), "", {}});
        }
    }

    void body(Builder &builder, int depth, int64_t tasks) {
        const int64_t statements = number(1, 10) > 6 ? 2 : 1;
        for (int64_t i = 0; i < statements; ++i) {
            statement(builder, depth + 1, tasks * statements);
        }
    }

    void task(Builder &builder) {
        const auto direction = static_cast<kernel::Direction>(number(0, 2));
        for (int attempt = 0; attempt < 30; ++attempt) {
            try {
                builder.task(kernels_.at(direction), {},
                             {arg(region(builder)), arg(region(builder))});
                return;
            } catch (const TypeCheckError &) {
                continue;  // the region leaves the tensor, or is a broadcast view
            }
        }
    }

    Region region(Builder &builder) {
        const TensorPtr tensor =
            tensors_[static_cast<size_t>(number(0, static_cast<int64_t>(tensors_.size()) - 1))];
        Region region = whole(tensor);
        region.keep.clear();
        for (size_t d = 0; d < region.offsets.size(); ++d) {
            const int64_t size = tensor->view.shape[d];
            region.extents[d] = number(0, 3) == 0 ? size : number(1, size > 100 ? 40 : 3);
            region.offsets[d] = 0;
            if (region.extents[d] < size) {
                region.offsets[d] =
                    is_dynamic_ && number(0, 2) == 0
                        ? builder.index_of(mod(run_time_value(), size - region.extents[d] + 1))
                        : offset(size, region.extents[d]);
            }
            if (d + 2 >= region.offsets.size()) {
                region.keep.push_back(static_cast<int>(d));
            } else {
                region.extents[d] = 1;
            }
        }
        if (is_dynamic_ && number(0, 3) == 0) {
            const ScalarExpr size =
                number(0, 1) == 0 ? ScalarExpr(number(0, 3)) : mod(run_time_value(), number(1, 4));
            const bool rows = region.keep.size() > 1 && number(0, 1) == 0;
            return rows ? valid(region, size, {}) : valid(region, {}, size);
        }
        return region;
    }

    Affine offset(int64_t size, int64_t extent) {
        Affine result(number(0, 3) == 0 ? number(0, size - extent) : 0);
        int64_t step = number(0, 1) == 0 ? extent : number(1, 4);
        for (size_t i = loops_.size(); i-- > 0;) {
            if (number(0, 3) != 0) {
                result = result + Affine::variable(loops_[i].first, step);
                step *= number(0, 3) == 0 ? number(-1, 3) : std::max<int64_t>(loops_[i].second, 1);
            }
        }
        return result;
    }

    std::mt19937_64 random_;
    bool is_dynamic_ = false;
    bool has_slots_ = false;
    std::vector<TensorPtr> tensors_;
    std::map<kernel::Direction, KernelPtr> kernels_;
    std::vector<std::pair<std::string, int64_t>> loops_;
    TensorPtr numbers_;  ///< of integers; tasks leave it alone
};

}  // namespace pto::wsp::workload::test
