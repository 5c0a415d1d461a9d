#include <array>
#include <random>

#include "program/samples.h"
#include "pto/wsp/workload/builder.h"
#include "pto/wsp/workload/names.h"
#include "pto/wsp/workload/parse.h"

namespace pto::wsp::test {
namespace {

using workload::Axis;
using workload::Builder;
using Op = ScalarExpr::Op;

ScalarExpr add(const ScalarExpr &a, const ScalarExpr &b) {
    return ScalarExpr::make(Op::Add, {a, b});
}
ScalarExpr mod(const ScalarExpr &a, int64_t by) {
    return ScalarExpr::make(Op::Mod, {a, by});
}

/// Random workloads of every kind of axis, of branches, slots and indirect regions, over three
/// small tensors of tiles and one of integers that tasks write.
class Random {
public:
    /// Without slots some are proven independent.
    explicit Random(unsigned seed) : random_(seed), builder_("random"), slots_(seed % 2 == 0) {
        for (const Tensor &tensor : tensors_) {
            fill(tensor, seed++);
        }
        builder_.set_symbol("n", below(4));
        builder_.set_table("lengths", table(places, 4));
        builder_.set_table("starts", starts());
        builder_.set_table("places", table(places * 4, places));
    }

    Workload make() {
        statements(0);
        return Workload(builder_.finish());
    }

private:
    static constexpr int64_t places = 12;

    int below(int bound) { return static_cast<int>(random_() % static_cast<unsigned>(bound)); }

    RunData::Values table(int64_t size, int bound) {
        std::vector<int64_t> values;
        for (int64_t i = 0; i < size; ++i) {
            values.push_back(below(bound));
        }
        return std::make_shared<const std::vector<int64_t>>(std::move(values));
    }

    RunData::Values starts() {
        std::vector<int64_t> values{0};
        for (int64_t i = 0; i < places; ++i) {
            values.push_back(values.back() + below(4));
        }
        return std::make_shared<const std::vector<int64_t>>(std::move(values));
    }

    /// An integer that a run knows, inside [0, places).
    ScalarExpr number() {
        ScalarExpr value = below(4);
        switch (below(6)) {
        case 0:
            value = ScalarExpr::symbol("n");
            break;
        case 1:
            value = slots_ ? ScalarExpr::slot(below(2)) : value;
            break;
        case 2:
        case 3:
            value = ScalarExpr::load("places", mod(variable(), places));
            break;
        default:
            value = add(variable(), below(3));
        }
        if (below(3) == 0) {
            constexpr std::array bits = {Op::BitAnd, Op::BitOr, Op::BitXor, Op::ShiftLeft,
                                         Op::ShiftRight};
            value = ScalarExpr::make(bits[random_() % bits.size()], {value, mod(variable(), 5)});
        }
        return mod(value, places);
    }

    ScalarExpr variable() {
        if (variables_.empty()) {
            return below(4);
        }
        return ScalarExpr::variable(variables_[random_() % variables_.size()]);
    }

    ScalarExpr predicate() {
        const ScalarExpr test = ScalarExpr::make(Op::Lt, {number(), below(places)});
        return below(3) == 0 ? ScalarExpr::make(Op::And, {test, mod(number(), 2)}) : test;
    }

    void statements(int depth) {
        const int count = below(3) + 1;
        for (int n = 0; n < count; ++n) {
            statement(depth);
        }
    }

    void statement(int depth) {
        const int kind = depth == 3 ? 5 + below(3) : below(9);
        if (kind < 3) {
            loop(depth);
        } else if (kind == 3) {
            builder_.open_group(below(2) == 0);
            statements(depth + 1);
            builder_.close();
        } else if (kind == 4) {
            branch(depth);
        } else if (kind == 5) {
            slot();
        } else {
            task();
        }
    }

    void loop(int depth) {
        const std::string id = open_loop();
        variables_.push_back(id);
        statements(depth + 1);
        variables_.pop_back();
        builder_.close();
    }

    std::string open_loop() {
        const Builder::Order order(below(3) == 0, 0);
        switch (below(7)) {
        case 0:
            return builder_.open_loop(order,
                                      {Axis::Kind::DenseDyn, ScalarExpr::symbol("n"), "", {}});
        case 1:
            return builder_.open_loop(
                order,
                {Axis::Kind::Ragged, ScalarExpr::load("lengths", mod(variable(), places)), "", {}});
        case 2: {
            const ScalarExpr row = mod(variable(), places);
            const ScalarExpr first = ScalarExpr::load("starts", row);
            const ScalarExpr size =
                ScalarExpr::make(Op::Sub, {ScalarExpr::load("starts", add(row, 1)), first});
            return builder_.open_selected({Axis::Kind::Sparse, size, "", {}}, "places", first);
        }
        case 3:
            return builder_.open_loop({false, below(3) + 1}, {Axis::Kind::Dense, below(5), "", {}});
        case 4:
            return builder_.open_loop(
                order, {Axis::Kind::DenseDyn, ScalarExpr::make(Op::Sub, {3, variable()}), "", {}});
        default:
            return builder_.open_loop(order, {Axis::Kind::Dense, below(4) + 1, "", {}});
        }
    }

    void branch(int depth) {
        const int cases = below(2) + 1;
        for (int i = 0; i < cases; ++i) {
            builder_.open_when(predicate());
            statements(depth + 1);
            builder_.close();
        }
        if (below(2) == 0) {
            builder_.open_otherwise();
            statements(depth + 1);
            builder_.close();
        }
    }

    void slot() {
        if (!slots_) {
            return task();
        }
        if (below(3) == 0) {
            builder_.set_slot(below(2), number());
            return;
        }
        const workload::Region integers = workload::whole(integers_.region().tensor);
        const workload::Region row = workload::index(integers, builder_.index_of(number()));
        builder_.load_slot(below(2), workload::index(row, below(4)));
    }

    workload::Argument tile(const Tensor &tensor) {
        const workload::Region whole = workload::whole(tensor.region().tensor);
        return {"", workload::index(whole, builder_.index_of(number())), {}};
    }

    const Tensor &some_tensor() { return tensors_[static_cast<size_t>(below(3))]; }

    void task() {
        switch (below(4)) {
        case 0:
            builder_.task(add_.handle(), {}, {tile(some_tensor()), tile(some_tensor())});
            break;
        case 1:
            builder_.task(copy_.handle(), {}, {tile(some_tensor()), tile(some_tensor())});
            break;
        case 2: {
            const workload::Region whole = workload::whole(integers_.region().tensor);
            const workload::Region row = workload::index(whole, builder_.index_of(number()));
            builder_.task(decide_.handle(), {}, {tile(some_tensor()), {"", row, {}}});
            break;
        }
        default:
            builder_.task(mix_.handle(), {},
                          {tile(some_tensor()), tile(some_tensor()), tile(some_tensor())});
        }
    }

    std::mt19937 random_;
    Builder builder_;
    bool slots_;
    std::vector<Tensor> tensors_{
        {"A", {places, 2, 4}}, {"B", {places, 2, 4}}, {"C", {places, 2, 4}}};
    Tensor integers_{"D", {places, 4}, DType::I32};
    std::vector<std::string> variables_;
    Kernel add_ = accumulate(), copy_ = increment(), mix_ = mix();
    Kernel decide_{
        "decide", {In("x", small_tile()), Out("y", Tile{1, 4, DType::I32})}, [](const auto &k) {
            store(k["y"], cast(minimum(maximum(colmax(k["x"]), 0.0), 50.0), DType::I32));
        }};
};

TEST(RunTimeWorkloads, DISABLED_give_the_sequential_result) {
    for (unsigned seed = 1; seed <= 60; ++seed) {
        SCOPED_TRACE(seed);
        const Workload workload = Random(seed).make();
        const std::string text = workload.built().str();
        ASSERT_EQ(workload::parse_workload(text).str(), text);
        expect_sequential_result(workload);
        if (seed % 4 == 0) {
            expect_sequential_result(workload.streams(3));
        }
        if (::testing::Test::HasFailure()) {
            return;
        }
    }
}

class RunTimeWorkers : public ::testing::TestWithParam<const char *> {};

TEST_P(RunTimeWorkers, give_the_sequential_result) {
    EXPECT_TRUE(passes_in_new_process("RunTimeWorkloads.*", {{"PTO_WSP_WORKERS", GetParam()}}));
}

INSTANTIATE_TEST_SUITE_P(Each, RunTimeWorkers, ::testing::Values("1", "2", "4", "8"));

}  // namespace
}  // namespace pto::wsp::test
