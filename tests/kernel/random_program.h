#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include <rapidcheck.h>

#include "pto/wsp/core/tensor.h"
#include "pto/wsp/kernel/builder.h"
#include "pto/wsp/kernel/evaluate.h"

namespace pto::wsp::kernel {

/// What `random_program` may make.
struct RandomProgramOptions {
    std::vector<DType> dtypes = {DType::F32, DType::F16, DType::BF16, DType::I32};
    std::vector<int64_t> sizes = {1, 3, 5};
    int max_ops = 10;
    bool loops = true;
    bool windows = true;
    bool in_place = true;  ///< InOut parameters: loads after stores
    /// Null: every operation of the table.
    bool (*allowed)(Op op) = nullptr;
    /// Operations that belong together, on random operands: an index below the size of `values` by
    /// `choose`, what they make appended.
    using Choose = int (*)(int low, int high);
    using Phrase = std::function<void(Builder &builder, std::vector<Value> &values, Choose choose)>;
    std::vector<Phrase> phrases = {};
    /// The last things in a program, with parameters of their own.
    std::function<void(Builder &builder, Choose choose)> closing = nullptr;
};

/// Makes one well-typed program out of RapidCheck's choices: operations on random operands are
/// offered to a Builder, which takes those that fit. Each output is stored once at the end.
class RandomProgramMaker {
public:
    explicit RandomProgramMaker(const RandomProgramOptions &options)
        : options_(options), builder_("random", Loc{"random.py", 1}) {}

    std::shared_ptr<const TileProgram> make() {
        add_params();
        grow(choose(1, options_.max_ops), 0);
        add_outputs();
        if (options_.closing) {
            options_.closing(builder_, choose);
        }
        return builder_.finish();
    }

private:
    static int choose(int low, int high) {
        // Of the whole range from the first test on.
        return *rc::gen::resize(rc::kNominalSize, rc::gen::inRange(low, high + 1));
    }

    template <typename T> static const T &one_of(const std::vector<T> &from) {
        return from[static_cast<size_t>(choose(0, static_cast<int>(from.size()) - 1))];
    }

    Loc here() { return {"random.py", ++line_}; }

    TileType random_type() {
        return {one_of(options_.dtypes), one_of(options_.sizes), one_of(options_.sizes)};
    }

    int add_tile(const std::string &prefix, Direction direction, const TileType &type) {
        return builder_.param(
            {prefix + std::to_string(names_++), Param::Kind::Tile, direction, type, here()});
    }

    void add_params() {
        for (int count = choose(1, 3); count > 0; --count) {
            inputs_.push_back(add_tile("x", Direction::In, random_type()));
        }
        if (options_.in_place && choose(0, 2) == 0) {
            inputs_.push_back(add_tile("z", Direction::InOut, random_type()));
            in_place_ = inputs_.back();
        }
        for (DType dtype : options_.dtypes) {
            if (choose(0, 3) == 0) {
                int scalar = builder_.param({"s" + std::to_string(names_++),
                                             Param::Kind::Scalar,
                                             Direction::In,
                                             {dtype, 1, 1},
                                             here()});
                values_.push_back(builder_.scalar(scalar));
            }
        }
        for (int input : inputs_) {
            values_.push_back(builder_.load(input, here()));
        }
    }

    void add_outputs() {
        for (int count = choose(1, 2); count > 0; --count) {
            Value value =
                last(values_, [&](const TileType &type) { return type.dtype != DType::Mask; });
            const TileType type = builder_.type(value);
            if (type.dtype == DType::Mask) {
                return;
            }
            builder_.store(add_tile("y", Direction::Out, type), value, here());
            values_.erase(std::find(values_.begin(), values_.end(), value));
            if (values_.empty()) {
                return;
            }
        }
    }

    template <typename Fits> Value last(const std::vector<Value> &values, Fits fits) const {
        auto found = std::find_if(values.rbegin(), values.rend(),
                                  [&](Value v) { return fits(builder_.type(v)); });
        return found == values.rend() ? values.front() : *found;
    }

    void grow(int count, int depth) {
        for (int i = 0; i < count; ++i) {
            int what = choose(0, 15);
            if (what == 0 && options_.loops && depth < 2) {
                add_loop(depth);
            } else if (what == 1 && options_.windows) {
                attempt([&] { add_window(); });
            } else if (what == 2 && in_place_ >= 0) {
                attempt([&] { add_store(); });
            } else if (what < 8 && !options_.phrases.empty()) {
                add_phrase();
            } else {
                add_op();
            }
        }
    }

    void add_phrase() {
        for (int tries = 0; tries < 12; ++tries) {
            const RandomProgramOptions::Phrase &phrase = one_of(options_.phrases);
            std::vector<Value> values = values_;
            if (attempt([&] { phrase(builder_, values, choose); })) {
                values_ = values;
                return;
            }
        }
    }

    template <typename F> static bool attempt(F f) {
        try {
            f();
            return true;
        } catch (const TypeCheckError &) {
            return false;
        }
    }

    void add_op() {
        for (int tries = 0; tries < 12; ++tries) {
            const OpInfo &row = ops()[static_cast<size_t>(choose(0, op_count - 1))];
            bool made_elsewhere = row.kind == OpKind::Memory || row.kind == OpKind::Control;
            if (made_elsewhere || (options_.allowed != nullptr && !options_.allowed(row.op))) {
                continue;
            }
            for (int with = 0; with < 6; ++with) {
                if (attempt([&] { try_op(row); })) {
                    return;
                }
            }
        }
    }

    void try_op(const OpInfo &row) {
        std::vector<Value> operands;
        if (row.op == Op::Slice) {
            operands = {one_of(values_), builder_.constant(choose(0, 2)),
                        builder_.constant(choose(0, 2))};
        }
        for (int i = row.op == Op::Slice ? 0 : choose(row.min_arity(), row.max_arity()); i > 0;
             --i) {
            bool condition = row.op == Op::Where && operands.empty();
            operands.push_back(
                condition
                    ? last(values_, [](const TileType &type) { return type.dtype == DType::Mask; })
                : choose(0, 9) == 0 ? number()
                                    : one_of(values_));
        }
        Attributes attributes = random_attributes(row);
        values_.push_back(builder_.op(row.op, operands, attributes, here()));
    }

    /// A weak constant.
    Value number() {
        return choose(0, 1) == 0 ? builder_.constant(choose(-3, 3), here())
                                 : builder_.constant(choose(-8, 8) * 0.375, here());
    }

    Attributes random_attributes(const OpInfo &row) {
        switch (row.op) {
        case Op::Matmul:
            return {{"trans_a", choose(0, 1) == 1}, {"trans_b", choose(0, 1) == 1}};
        case Op::Cast:
            return {{"dtype", std::string(pto::wsp::name(one_of(options_.dtypes)))}};
        case Op::Rmsnorm:
        case Op::Layernorm:
            return {{"eps", choose(0, 4) * 0.25}};
        case Op::Constant:
            return {{"dtype", std::string("f32")}, {"value", choose(-8, 8) * 0.25}};
        case Op::Slice:
        case Op::Broadcast:
        case Op::RowIndex:
        case Op::ColumnIndex:
            return {{"rows", Affine(one_of(options_.sizes))},
                    {"columns", Affine(one_of(options_.sizes))}};
        default:
            return {};
        }
    }

    /// Sizes and constant offsets of a window that lies in `whole`.
    struct Window {
        Value row, column;
        Affine rows, columns;
    };

    Window random_window(const TileType &whole) {
        auto size = [](const Affine &dim) { return static_cast<int>(*dim.as_constant()); };
        int rows = choose(1, size(whole.rows));
        int columns = choose(1, size(whole.columns));
        int row = choose(0, size(whole.rows) - rows);
        int column = choose(0, size(whole.columns) - columns);
        return {builder_.constant(row), builder_.constant(column), rows, columns};
    }

    void add_window() {
        int input = one_of(inputs_);
        Window w = random_window(builder_.param_info(input).type);
        values_.push_back(builder_.load(input, w.row, w.column, w.rows, w.columns, here()));
    }

    void add_store() {
        Value value = one_of(values_);
        const TileType whole = builder_.param_info(in_place_).type;
        const TileType type = builder_.type(value);
        bool smaller = *type.rows.as_constant() <= *whole.rows.as_constant() &&
                       *type.columns.as_constant() <= *whole.columns.as_constant();
        if (options_.windows && smaller && choose(0, 1) == 0) {
            builder_.store(in_place_, value, builder_.constant(0), builder_.constant(0), here());
        } else {
            builder_.store(in_place_, value, here());
        }
        values_.push_back(builder_.load(in_place_, here()));
    }

    void add_loop(int depth) {
        std::vector<Value> carries;
        for (int count = choose(0, 2); count > 0; --count) {
            carries.push_back(one_of(values_));
        }
        const size_t outside = values_.size();
        Value lo = builder_.constant(choose(0, 1));
        Value hi = builder_.constant(choose(0, 3));
        std::vector<Value> results = builder_.fori_loop(
            lo, hi, carries,
            [&](Value index, const std::vector<Value> &arguments) {
                values_.push_back(index);
                values_.insert(values_.end(), arguments.begin(), arguments.end());
                grow(choose(1, 4), depth + 1);
                std::vector<Value> yields;
                for (Value argument : arguments) {
                    yields.push_back(same_type(builder_.type(argument), argument));
                }
                values_.resize(outside);
                return yields;
            },
            here());
        values_.insert(values_.end(), results.begin(), results.end());
    }

    Value same_type(const TileType &type, Value fallback) {
        Value found = last(values_, [&](const TileType &each) { return each == type; });
        return builder_.type(found) == type ? found : fallback;
    }

    const RandomProgramOptions options_;
    Builder builder_;
    std::vector<Value> values_;
    std::vector<int> inputs_;
    int in_place_ = -1;
    int names_ = 0;
    int line_ = 1;
};

inline std::shared_ptr<const TileProgram> random_program(const RandomProgramOptions &options = {}) {
    return RandomProgramMaker(options).make();
}

/// A number that `dtype` has: small, now and then something that no arithmetic expects.
inline double random_element(DType dtype, bool awkward) {
    int number = *rc::gen::inRange(-400, 401);
    if (is_integer(dtype)) {
        return awkward && number % 50 == 0 ? round_to(dtype, 0x7fffffff - (number & 1))
                                           : round_to(dtype, number % 10);
    }
    if (awkward && number % 50 == 0) {
        constexpr double infinity = std::numeric_limits<double>::infinity();
        const double awkward_numbers[] = {infinity, -infinity, std::nan(""), -0.0, 0.0, 6e4};
        return awkward_numbers[(number / 50 + 8) % 6];
    }
    return round_to(dtype, number / 100.0);
}

/// Calls `f` with a null pointer to what holds an element of `dtype` in memory.
template <typename F> auto with_element_type(DType dtype, F f) {
    switch (dtype) {
    case DType::F32:
        return f(static_cast<float *>(nullptr));
    case DType::F64:
        return f(static_cast<double *>(nullptr));
    case DType::I8:
        return f(static_cast<int8_t *>(nullptr));
    case DType::I16:
        return f(static_cast<int16_t *>(nullptr));
    case DType::I32:
        return f(static_cast<int32_t *>(nullptr));
    case DType::I64:
        return f(static_cast<int64_t *>(nullptr));
    case DType::U8:
        return f(static_cast<uint8_t *>(nullptr));
    case DType::U32:
        return f(static_cast<uint32_t *>(nullptr));
    case DType::U64:
        return f(static_cast<uint64_t *>(nullptr));
    default:
        return f(static_cast<uint16_t *>(nullptr));
    }
}

/// A contiguous tensor of `dtype` whose element (r, c) is `value(r, c)`.
template <typename Element>
TensorView filled_tensor(int64_t rows, int64_t columns, DType dtype, Element value) {
    TensorView view = allocate_tensor({rows, columns}, dtype);
    with_element_type(dtype, [&](auto *type) {
        auto *data = static_cast<decltype(type)>(view.data);
        for (int64_t i = 0; i < rows * columns; ++i) {
            double number = value(i / columns, i % columns);
            if (dtype == DType::F16) {
                data[i] = float_to_half(static_cast<float>(number));
            } else if (dtype == DType::BF16) {
                data[i] = float_to_bfloat(static_cast<float>(number));
            } else if (is_integer(dtype)) {
                data[i] = static_cast<std::remove_pointer_t<decltype(type)>>(
                    static_cast<int64_t>(number));
            } else {
                data[i] = static_cast<std::remove_pointer_t<decltype(type)>>(number);
            }
        }
    });
    return view;
}

/// Element number `i` of a contiguous tensor.
inline double element_of(const TensorView &view, int64_t i) {
    return with_element_type(view.dtype, [&](auto *type) {
        auto element = static_cast<decltype(type)>(view.data)[i];
        return view.dtype == DType::F16    ? half_to_float(static_cast<uint16_t>(element))
               : view.dtype == DType::BF16 ? bfloat_to_float(static_cast<uint16_t>(element))
                                           : static_cast<double>(element);
    });
}

/// Arguments for a program of constant dims: random inputs, outputs of zeros.
inline std::vector<Argument> random_arguments(const TileProgram &program, bool awkward = false) {
    std::vector<Argument> arguments;
    for (const Param &param : program.params) {
        DType dtype = param.type.dtype;
        if (param.kind == Param::Kind::Scalar) {
            arguments.emplace_back(random_element(dtype, false));
            continue;
        }
        bool output = param.direction == Direction::Out;
        arguments.emplace_back(filled_tensor(
            *param.type.rows.as_constant(), *param.type.columns.as_constant(), dtype,
            [&](int64_t, int64_t) { return output ? 0.0 : random_element(dtype, awkward); }));
    }
    return arguments;
}

/// The same arguments in memory of their own.
inline std::vector<Argument> copied(const std::vector<Argument> &arguments) {
    std::vector<Argument> result;
    for (const Argument &argument : arguments) {
        if (const auto *view = std::get_if<TensorView>(&argument)) {
            result.emplace_back(filled_tensor(
                view->shape[0], view->shape[1], view->dtype,
                [&](int64_t r, int64_t c) { return element_of(*view, r * view->shape[1] + c); }));
        } else {
            result.push_back(argument);
        }
    }
    return result;
}

}  // namespace pto::wsp::kernel
