#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <rapidcheck.h>

#include "kernel/random_program.h"
#include "pto/wsp/core/tensor.h"
#include "pto/wsp/kernel/builder.h"
#include "pto/wsp/kernel/evaluate.h"
#include "pto/wsp/kernel/rules.h"
#include "pto/wsp/rewrite/engine.h"

/// What the tests of the tile rules share.
namespace pto::wsp::kernel {

inline constexpr float infinity = std::numeric_limits<float>::infinity();
inline constexpr float nan = std::numeric_limits<float>::quiet_NaN();

/// A kernel under construction, with the operations of these tests as calls.
struct Kernel {
    Builder b{"k"};

    int tile(const std::string &name, Direction direction, Affine rows, Affine columns,
             DType dtype = DType::F32) {
        return b.param({name, Param::Kind::Tile, direction, {dtype, rows, columns}, {}});
    }
    Value in(const std::string &name, Affine rows, Affine columns, DType dtype = DType::F32) {
        return b.load(tile(name, Direction::In, rows, columns, dtype));
    }
    Value scalar(const std::string &name, DType dtype) {
        return b.scalar(b.param({name, Param::Kind::Scalar, Direction::In, {dtype, 1, 1}, {}}));
    }
    void out(Value value, const std::string &name = "y") {
        const TileType &type = b.type(value);
        b.store(tile(name, Direction::Out, type.rows, type.columns, type.dtype), value);
    }
    Value op(Op op, std::vector<Value> operands, Attributes attributes = {}, int line = 0) {
        Loc at{"user.py", line};
        return b.op(op, std::move(operands), std::move(attributes), at);
    }
    /// A scalar of i32 that cannot be far from 0.
    Value shift(const std::string &name) {
        Value most = op(Op::Minimum, {scalar(name, DType::I32), b.constant(4096, DType::I32)});
        return op(Op::Maximum, {most, b.constant(-4096, DType::I32)});
    }
    Value row_index(Affine rows) {
        return op(Op::RowIndex, {}, {{"rows", rows}, {"columns", Affine(1)}});
    }
    Value column_index(Affine columns) {
        return op(Op::ColumnIndex, {}, {{"rows", Affine(1)}, {"columns", columns}});
    }
    Value softmax_by_hand(Value x, Value *e = nullptr) {
        Value exponents = op(Op::Exp, {op(Op::Sub, {x, op(Op::Rowmax, {x})})});
        if (e != nullptr) {
            *e = exponents;
        }
        return op(Op::Div, {exponents, op(Op::Rowsum, {exponents})}, {}, 9);
    }
};

/// Before and after, with the reasons.
struct Rewritten {
    Reasons reasons;
    std::shared_ptr<const TileProgram> before;
    std::shared_ptr<const TileProgram> after;

    explicit Rewritten(Kernel &kernel)
        : before(kernel.b.finish()), after(rewrite_tile_program(*before, &reasons)) {}

    std::string text() const { return after->str(); }
    std::string why() const { return rewrite::explain(reasons); }
    bool fired(const std::string &rule) const {
        return std::any_of(reasons.begin(), reasons.end(), [&](const Reason &reason) {
            return reason.happened && reason.subject == rule;
        });
    }
    bool any_fired() const {
        return std::any_of(reasons.begin(), reasons.end(),
                           [](const Reason &reason) { return reason.happened; });
    }
    int count(Op op) const {
        return static_cast<int>(std::count_if(after->nodes.begin(), after->nodes.end(),
                                              [&](const Node &node) { return node.op == op; }));
    }
};

inline TensorView tensor(int64_t rows, int64_t columns,
                         const std::function<float(int64_t)> &value) {
    TensorView view = allocate_tensor({rows, columns}, DType::F32);
    for (int64_t i = 0; i < rows * columns; ++i) {
        static_cast<float *>(view.data)[i] = value(i);
    }
    return view;
}

inline float random_number() {
    return static_cast<float>(*rc::gen::inRange(-4000, 4001)) / 1000.0F;
}

/// Now and then something that no arithmetic expects.
inline float awkward_number() {
    static const float awkward[] = {infinity, -infinity, nan, -0.0F, 0.0F, 1e-30F};
    int kind = *rc::gen::inRange(0, 24);
    return kind < 6 ? awkward[kind] : random_number();
}

inline std::vector<float> run(const TileProgram &program, const std::vector<Argument> &inputs,
                              const std::map<std::string, int64_t> &symbols = {}) {
    std::vector<Argument> arguments = inputs;
    std::vector<float> results;
    std::vector<TensorView> outputs;
    for (size_t p = inputs.size(); p < program.params.size(); ++p) {
        const TileType &type = program.params[p].type;
        outputs.emplace_back(allocate_tensor(
            {type.rows.evaluate(symbols), type.columns.evaluate(symbols)}, type.dtype));
        arguments.emplace_back(outputs.back());
    }
    evaluate(program, arguments, symbols);
    for (const TensorView &output : outputs) {
        const float *data = static_cast<const float *>(output.data);
        results.insert(results.end(), data, data + element_count(output.shape));
    }
    return results;
}

inline bool is_near(float a, float b, float tolerance) {
    if (std::isnan(a) || std::isnan(b)) {
        return std::isnan(a) && std::isnan(b);
    }
    return a == b || std::abs(a - b) <= tolerance * (1.0F + std::abs(b));
}

/// The first element that the rules changed, or nothing.
inline std::string difference(const Rewritten &r, const std::vector<Argument> &inputs,
                              float tolerance) {
    std::vector<float> before = run(*r.before, inputs);
    std::vector<float> after = run(*r.after, inputs);
    for (size_t i = 0; i < before.size(); ++i) {
        if (!is_near(after.at(i), before[i], tolerance)) {
            return "element " + std::to_string(i) + ": " + std::to_string(after[i]) +
                   ", expected " + std::to_string(before[i]) + "\n" + r.text();
        }
    }
    return "";
}

inline void expect_equal(const Rewritten &r, const std::vector<Argument> &inputs, float tolerance) {
    std::string found = difference(r, inputs, tolerance);
    if (!found.empty()) {
        RC_FAIL(found);
    }
}

inline TensorView random_tensor(int64_t rows, int64_t columns, float (*number)() = random_number) {
    return tensor(rows, columns, [&](int64_t) { return number(); });
}

/// The first element of the outputs whose bits differ, NaN being any NaN, or nothing.
inline std::string difference_of_bits(const Rewritten &r, bool awkward) {
    std::vector<Argument> before = random_arguments(*r.before, awkward);
    std::vector<Argument> after = copied(before);
    evaluate(*r.before, before);
    evaluate(*r.after, after);
    for (size_t p = 0; p < before.size(); ++p) {
        const auto *expected = std::get_if<TensorView>(&before[p]);
        for (int64_t i = 0; expected != nullptr && i < element_count(expected->shape); ++i) {
            double a = element_of(*expected, i);
            double b = element_of(std::get<TensorView>(after[p]), i);
            bool equal =
                std::isnan(a) ? std::isnan(b) : a == b && std::signbit(a) == std::signbit(b);
            if (!equal) {
                return "element " + std::to_string(i) + ": " + std::to_string(b) + ", expected " +
                       std::to_string(a) + "\n" + r.before->str() + r.text();
            }
        }
    }
    return "";
}

}  // namespace pto::wsp::kernel
