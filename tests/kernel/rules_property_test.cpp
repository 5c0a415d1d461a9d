#include <map>
#include <set>

#include <gtest/gtest.h>

#include "kernel/rewritten.h"
#include "kernel/rules_graph.h"

/// Rules change no result: on random programs in which what they look for occurs.
namespace pto::wsp::kernel {
namespace {

using Choose = RandomProgramOptions::Choose;
using Values = std::vector<Value>;

/// A phrase under construction.
struct Writer {
    Builder &b;
    Values &values;
    Choose choose;

    Value any() const {
        return values[static_cast<size_t>(choose(0, static_cast<int>(values.size()) - 1))];
    }
    Value op(Op op, Values operands, Attributes attributes = {}) const {
        return b.op(op, std::move(operands), std::move(attributes));
    }
    Value number(double value, Value like) const {
        DType dtype = b.type(like).dtype;
        return is_integer(dtype) ? b.constant(static_cast<int64_t>(value), dtype)
                                 : b.constant(value, dtype == DType::Mask ? DType::F32 : dtype);
    }
    Attributes shape_of(Value value) const {
        return {{"rows", b.type(value).rows}, {"columns", b.type(value).columns}};
    }
    Value i32(int64_t value) const { return b.constant(value, DType::I32); }
};

using Exact = Value (*)(const Writer &w, Value x, Value y);

/// What rules change exactly. No product is left open to rules that round.
const Exact exact_phrases[] = {
    [](const Writer &w, Value x, Value) { return w.op(Op::Neg, {w.op(Op::Neg, {x})}); },
    [](const Writer &w, Value x, Value) { return w.op(Op::Abs, {w.op(Op::Abs, {x})}); },
    [](const Writer &w, Value x, Value) { return w.op(Op::Relu, {w.op(Op::Relu, {x})}); },
    [](const Writer &w, Value x, Value) { return w.op(Op::Relu, {w.op(Op::Abs, {x})}); },
    [](const Writer &w, Value x, Value) { return w.op(Op::Relu, {w.op(Op::Exp, {x})}); },
    [](const Writer &w, Value x, Value) { return w.op(Op::Abs, {w.op(Op::Neg, {x})}); },
    [](const Writer &w, Value x, Value y) {
        return w.op(Op::Sub, {x, w.op(Op::Neg, {y})});
    },
    [](const Writer &w, Value x, Value y) {
        return w.op(Op::Add, {x, w.op(Op::Neg, {y})});
    },
    [](const Writer &w, Value x, Value y) {
        return w.op(Op::Mul, {w.op(Op::Neg, {x}), w.op(Op::Neg, {y})});
    },
    [](const Writer &w, Value x, Value) {
        return w.op(Op::Mul, {x, w.number(-1, x)});
    },
    [](const Writer &w, Value x, Value) {
        return w.op(Op::Mul, {x, w.number(1, x)});
    },
    [](const Writer &w, Value x, Value) {
        return w.op(Op::Div, {x, w.number(1, x)});
    },
    [](const Writer &w, Value x, Value) {
        return w.op(Op::Div, {x, w.number(4, x)});
    },
    [](const Writer &w, Value x, Value) {
        return w.op(Op::Sub, {x, w.number(0, x)});
    },
    [](const Writer &w, Value x, Value) {
        return w.op(Op::Sub, {w.number(0, x), x});
    },
    [](const Writer &w, Value x, Value) {
        return w.op(Op::Sub, {w.number(-0.0, x), x});
    },
    [](const Writer &w, Value x, Value) {
        return w.op(Op::Add, {x, w.number(0, x)});
    },
    [](const Writer &w, Value x, Value) {
        return w.op(Op::Add, {x, w.number(-0.0, x)});
    },
    [](const Writer &w, Value x, Value) {
        return w.op(Op::Sub, {x, x});
    },
    [](const Writer &w, Value x, Value) {
        return w.op(Op::Mul, {x, w.number(0, x)});
    },
    [](const Writer &w, Value x, Value) {
        return w.op(Op::FloorDiv, {x, w.number(1, x)});
    },
    [](const Writer &w, Value x, Value) {
        return w.op(Op::Mod, {x, w.number(1, x)});
    },
    [](const Writer &w, Value x, Value) {
        return w.op(Op::Maximum, {x, x});
    },
    [](const Writer &w, Value x, Value) {
        return w.op(Op::Minimum, {x, x});
    },
    [](const Writer &w, Value x, Value) {
        return w.op(Op::Maximum, {x, w.b.constant(-infinity, DType::F32)});
    },
    [](const Writer &w, Value x, Value y) {
        return w.op(Op::Where, {w.op(Op::Lt, {x, y}), x, x});
    },
    [](const Writer &w, Value x, Value y) {
        Value mask = w.op(Op::Ge, {x, y});
        return w.op(Op::Where, {mask, w.op(Op::Where, {mask, x, y}), y});
    },
    [](const Writer &w, Value x, Value y) {
        return w.op(Op::Where, {w.op(Op::Lt, {w.i32(w.choose(0, 1)), w.i32(1)}), x, y});
    },
    [](const Writer &w, Value x, Value y) {
        return w.op(Op::Exp, {w.op(Op::Mul, {w.number(0.5, x), w.number(3, y)})});
    },
    [](const Writer &w, Value x, Value) {
        const char *wide[] = {"f32", "f64", "i64", "bf16"};
        Value between = w.op(Op::Cast, {x}, {{"dtype", std::string(wide[w.choose(0, 3)])}});
        std::string to = w.choose(0, 1) == 0 ? pto::wsp::name(w.b.type(x).dtype) : "f32";
        return w.op(Op::Cast, {w.op(Op::Cast, {between}, {{"dtype", to}})}, {{"dtype", to}});
    },
    [](const Writer &w, Value x, Value) { return w.op(Op::Broadcast, {x}, w.shape_of(x)); },
    [](const Writer &w, Value x, Value y) {
        return w.op(Op::Add, {y, w.op(Op::Broadcast, {x}, w.shape_of(y))});
    },
    [](const Writer &w, Value x, Value) {
        Attributes wide{{"rows", Affine(5)}, {"columns", Affine(3)}};
        Value one = w.op(Op::Rowmax, {w.op(Op::Colmax, {x})});
        one = w.op(Op::Transpose, {one});
        one = w.op(Op::Broadcast, {one}, {{"rows", Affine(5)}, {"columns", Affine(1)}});
        return w.op(Op::Rowmin, {w.op(Op::Broadcast, {one}, wide)});
    },
    [](const Writer &w, Value x, Value) {
        Attributes wide{{"rows", w.b.type(x).rows}, {"columns", Affine(3)}};
        return w.op(Op::Rowmin, {w.op(Op::Broadcast, {w.op(Op::Rowmax, {x})}, wide)});
    },
    [](const Writer &w, Value x, Value) {
        Attributes part{{"rows", Affine(2)}, {"columns", Affine(2)}};
        Value one = w.op(Op::Rowmax, {w.op(Op::Colmax, {x})});
        Value wide = w.op(Op::Broadcast, {one}, {{"rows", Affine(4)}, {"columns", Affine(3)}});
        return w.op(Op::Slice, {wide, w.i32(1), w.i32(1)}, part);
    },
    [](const Writer &w, Value x, Value) {
        Attributes part{{"rows", Affine(2)}, {"columns", Affine(3)}};
        Value inner = w.op(Op::Slice, {x, w.i32(1), w.i32(0)}, part);
        return w.op(Op::Slice, {inner, w.i32(w.choose(0, 1)), w.i32(2)},
                    {{"rows", Affine(1)}, {"columns", Affine(1)}});
    },
    [](const Writer &w, Value x, Value) {
        return w.op(Op::Slice, {x, w.i32(0), w.i32(0)}, w.shape_of(x));
    },
    [](const Writer &w, Value x, Value) { return w.op(Op::Transpose, {w.op(Op::Transpose, {x})}); },
    [](const Writer &w, Value x, Value y) {
        Value both = w.op(Op::Interleave, {x, y});
        return w.op(w.choose(0, 1) == 0 ? Op::SliceEven : Op::SliceOdd, {both});
    },
    [](const Writer &w, Value x, Value) {
        return w.op(Op::Interleave, {w.op(Op::SliceEven, {x}), w.op(Op::SliceOdd, {x})});
    },
    [](const Writer &w, Value x, Value y) {
        return w.op(Op::Abs,
                    {w.op(Op::Transpose, {w.op(Op::Matmul, {x, y}, {{"trans_a", true}})})});
    },
    [](const Writer &w, Value x, Value y) {
        return w.op(Op::Abs, {w.op(Op::Matmul, {w.op(Op::Transpose, {x}), y})});
    },
    [](const Writer &w, Value x, Value y) {
        Value product = w.op(Op::Matmul, {x, y});
        Value zero = w.op(Op::Broadcast, {w.number(0, product)}, w.shape_of(product));
        return w.op(Op::Abs, {w.op(Op::Matmul, {x, y, zero})});
    },
    [](const Writer &w, Value x, Value) {
        Value wide =
            w.op(Op::Broadcast, {w.number(2, x)}, {{"rows", Affine(3)}, {"columns", Affine(5)}});
        return w.op(Op::Colsum, {w.op(Op::Rowsum, {wide})});
    },
    [](const Writer &w, Value x, Value) {
        const TileType type = w.b.type(x);
        Value row = w.op(Op::RowIndex, {}, {{"rows", type.rows}, {"columns", Affine(1)}});
        Value column = w.op(Op::ColumnIndex, {}, {{"rows", Affine(1)}, {"columns", type.columns}});
        Value seen = w.op(Op::Ge, {row, column});
        return w.op(Op::Where, {seen, x, w.number(-infinity, x)});
    },
    [](const Writer &w, Value x, Value y) {
        // One iteration or none, or some with what does not change in them.
        return w.b.fori_loop(w.i32(w.choose(0, 1)), w.i32(w.choose(1, 3)), {x, y},
                             [&](Value, const Values &c) -> Values {
                                 Value same = w.op(Op::Abs, {w.op(Op::Neg, {x})});
                                 return {w.op(Op::Maximum, {c[0], same}),
                                         w.op(Op::Minimum, {c[1], w.op(Op::Neg, {c[1]})})};
                             })[0];
    },
};

RandomProgramOptions::Phrase phrase_of(Exact write) {
    return [write](Builder &b, Values &values, Choose choose) {
        Writer w{b, values, choose};
        values.push_back(write(w, w.any(), w.any()));
    };
}

/// What rules change up to rounding, on a tile [4, 6] of its own and one [6, 4].
using Rounded = Value (*)(const Writer &w, Value x, Value v);

Value softmax_by_hand(const Writer &w, Value x) {
    Value e = w.op(Op::Exp, {w.op(Op::Sub, {x, w.op(Op::Rowmax, {x})})});
    Value l = w.op(Op::Rowsum, {e});
    return w.choose(0, 1) == 0 ? w.op(Op::Div, {e, l})
                               : w.op(Op::Mul, {e, w.op(Op::Div, {w.number(1, x), l})});
}

Value norm_by_hand(const Writer &w, Value x) {
    Value variance = w.op(Op::Rowmean, {w.op(Op::Mul, {x, x})});
    variance = w.op(Op::Add, {variance, w.number(0.125, x)});
    return w.choose(0, 1) == 0 ? w.op(Op::Mul, {x, w.op(Op::Rsqrt, {variance})})
                               : w.op(Op::Div, {x, w.op(Op::Sqrt, {variance})});
}

/// One block of online softmax over the columns of x.
Values online_step(const Writer &w, Value x, Value v, Value index, const Values &c) {
    Value place = w.op(Op::Mul, {index, w.i32(2)});
    Value s = w.op(Op::Slice, {x, w.i32(0), place}, {{"rows", Affine(4)}, {"columns", Affine(2)}});
    Value block =
        w.op(Op::Slice, {v, place, w.i32(0)}, {{"rows", Affine(2)}, {"columns", Affine(4)}});
    Value m = w.op(Op::Maximum, {c[0], w.op(Op::Rowmax, {s})});
    Value alpha = w.op(Op::Exp, {w.op(Op::Sub, {c[0], m})});
    Value p = w.op(Op::Exp, {w.op(Op::Sub, {s, m})});
    Value l = w.op(Op::Add, {w.op(Op::Mul, {c[1], alpha}), w.op(Op::Rowsum, {p})});
    return {m, l, w.op(Op::Add, {w.op(Op::Mul, {c[2], alpha}), w.op(Op::Matmul, {p, block})})};
}

Value online_softmax(const Writer &w, Value x, Value v) {
    auto tile = [&](double value, int columns) {
        return w.op(Op::Broadcast, {w.number(value, x)},
                    {{"rows", Affine(4)}, {"columns", Affine(columns)}});
    };
    Values last{tile(-infinity, 1), tile(0, 1), tile(0, 4)};
    if (w.choose(0, 1) == 0) {
        last = w.b.fori_loop(w.i32(0), w.i32(3), last, [&](Value index, const Values &c) {
            return online_step(w, x, v, index, c);
        });
    } else {
        for (int j = 0; j < 3; ++j) {
            last = online_step(w, x, v, w.i32(j), last);
        }
    }
    Value lse = w.op(Op::Add, {last[0], w.op(Op::Log, {last[1]})});
    return w.op(Op::Add, {lse, w.op(Op::Div, {last[2], last[1]})});
}

const Rounded rounded_phrases[] = {
    [](const Writer &w, Value x, Value v) {
        Value p = w.choose(0, 1) == 0 ? softmax_by_hand(w, x) : w.op(Op::Softmax, {x});
        return w.choose(0, 1) == 0 ? p : w.op(Op::Matmul, {p, v});
    },
    [](const Writer &w, Value x, Value) {
        Value d = w.op(Op::Sub, {x, w.op(Op::Rowmax, {x})});
        Value e = w.op(Op::Exp, {w.op(Op::Mul, {d, w.number(0.3, x)})});
        return w.op(Op::Div, {e, w.op(Op::Rowsum, {e})});
    },
    [](const Writer &w, Value x, Value) { return norm_by_hand(w, x); },
    [](const Writer &w, Value x, Value) {
        return norm_by_hand(w, w.op(Op::Sub, {x, w.op(Op::Rowmean, {x})}));
    },
    [](const Writer &w, Value x, Value v) {
        return w.op(Op::Mul, {w.op(Op::Matmul, {w.op(Op::Transpose, {v}), x}, {{"trans_b", true}}),
                              w.number(0.25, x)});
    },
    [](const Writer &w, Value x, Value) {
        Value narrow =
            w.op(Op::Slice, {x, w.i32(0), w.i32(0)}, {{"rows", Affine(4)}, {"columns", Affine(2)}});
        Value product = w.op(Op::Matmul, {narrow, narrow}, {{"trans_b", true}});
        return w.op(Op::Div, {product, w.number(4, x)});
    },
    [](const Writer &w, Value x, Value) {
        return w.op(Op::Rmsnorm, {x}, {{"eps", 0.5}});
    },
    [](const Writer &w, Value x, Value) {
        return w.op(Op::Layernorm, {x}, {{"eps", 0.5}});
    },
    [](const Writer &w, Value x, Value v) {
        Value hidden = w.op(Op::Lt, {x, w.number(0, x)});
        Value masked = w.op(Op::Where, {hidden, w.number(-infinity, x), x});
        Value p = w.op(Op::Softmax, {masked}, {{"safe", w.choose(0, 1) == 0}});
        return w.op(Op::Matmul, {p, v});
    },
    online_softmax,
};

/// Parameters whose elements are ordinary and whose results may round otherwise.
constexpr const char *ordinary = "ordinary";

void add_rounded(Builder &b, Choose choose) {
    auto param = [&](const char *name, Direction direction, const TileType &type) {
        return b.param({std::string(ordinary) + name, Param::Kind::Tile, direction, type, {}});
    };
    Value x = b.load(param("x", Direction::In, {DType::F32, 4, 6}));
    Value v = b.load(param("v", Direction::In, {DType::F32, 6, 4}));
    Values values{x, v};
    const int count = static_cast<int>(std::size(rounded_phrases));
    Value made = rounded_phrases[choose(0, count - 1)]({b, values, choose}, x, v);
    b.store(param("y", Direction::Out, b.type(made)), made);
}

/// Some phrases whose results are stored.
void add_exact(Builder &b, Choose choose) {
    constexpr DType dtypes[] = {DType::F32,  DType::F32, DType::F16,
                                DType::BF16, DType::I32, DType::I8};
    int names = 0;
    auto param = [&](Direction direction, const TileType &type) {
        return b.param({"w" + std::to_string(names++), Param::Kind::Tile, direction, type, {}});
    };
    for (int stored = 0; stored < 3; ++stored) {
        TileType type{dtypes[choose(0, 5)], 4, 4};
        Values values{b.load(param(Direction::In, type)), b.load(param(Direction::In, type))};
        const int count = static_cast<int>(std::size(exact_phrases));
        try {
            Value made =
                exact_phrases[choose(0, count - 1)]({b, values, choose}, values[0], values[1]);
            b.store(param(Direction::Out, b.type(made)), made);
        } catch (const TypeCheckError &) {
            continue;
        }
    }
}

void add_closing(Builder &b, Choose choose) {
    add_exact(b, choose);
    add_rounded(b, choose);
}

/// Results of these depend on roundings in ways that no bound has.
bool is_exact(Op op) {
    return op != Op::Softmax && op != Op::Rmsnorm && op != Op::Layernorm && op != Op::Matmul;
}

bool is_ordinary(const Param &param) {
    return param.name.rfind(ordinary, 0) == 0;
}

std::vector<Argument> arguments_of(const TileProgram &program) {
    std::vector<Argument> awkward = random_arguments(program, true);
    std::vector<Argument> tame = random_arguments(program, false);
    for (size_t p = 0; p < program.params.size(); ++p) {
        if (is_ordinary(program.params[p])) {
            awkward[p] = tame[p];
        }
    }
    return awkward;
}

std::string first_difference(const TileProgram &before, const TileProgram &after) {
    std::vector<Argument> expected = arguments_of(before);
    std::vector<Argument> got = copied(expected);
    evaluate(before, expected);
    evaluate(after, got);
    for (size_t p = 0; p < expected.size(); ++p) {
        const auto *tile = std::get_if<TensorView>(&expected[p]);
        for (int64_t i = 0; tile != nullptr && i < element_count(tile->shape); ++i) {
            double a = element_of(std::get<TensorView>(got[p]), i);
            double b = element_of(*tile, i);
            bool same =
                std::isnan(b) ? std::isnan(a) : a == b && std::signbit(a) == std::signbit(b);
            bool near = is_ordinary(before.params[p]) &&
                        is_near(static_cast<float>(a), static_cast<float>(b), 1e-5F);
            if (!same && !near) {
                return before.params[p].name + "[" + std::to_string(i) + "] is " +
                       std::to_string(a) + ", expected " + std::to_string(b);
            }
        }
    }
    return "";
}

TEST(RulesProperty, ChangeNoResultAndAllFire) {
    RandomProgramOptions options;
    options.dtypes = {DType::F32, DType::F16, DType::BF16, DType::I32, DType::U8};
    options.max_ops = 14;
    options.allowed = is_exact;
    for (Exact write : exact_phrases) {
        options.phrases.push_back(phrase_of(write));
    }
    options.closing = add_closing;
    std::map<std::string, int> fired;
    // Checks of one run all see the same choices: more programs come of more in each.
    constexpr int programs = 40;
    EXPECT_TRUE(rc::check([&] {
        for (int i = 0; i < programs; ++i) {
            auto before = random_program(options);
            Reasons reasons;
            auto after = rewrite_tile_program(*before, &reasons);
            for (const Reason &reason : reasons) {
                fired[reason.subject] += reason.happened ? 1 : 0;
            }
            if (std::string found = first_difference(*before, *after); !found.empty()) {
                RC_FAIL(found + "\n" + before->str() + after->str() + rewrite::explain(reasons));
            }
        }
    }));
    for (const rewrite::Table *table :
         {&loop_rules(), &fold_rules(), &simplify_rules(), &mask_rules(), &online_rules(),
          &norm_rules(), &expand_rules(), &softmax_rules(), &scale_rules()}) {
        for (const rewrite::Rule &rule : table->rules()) {
            bool only_explains = rule.name == "layernorm-of-moments";
            EXPECT_EQ(fired[rule.name] > 0, !only_explains) << table->name() << " " << rule.name;
        }
    }
}

}  // namespace
}  // namespace pto::wsp::kernel
