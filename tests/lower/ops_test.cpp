#include "kernel/kernel_builder.h"
#include "lower/compiled.h"
#include "pto/wsp/kernel/rules.h"

/// Each operation on each element type, alone, against the reference evaluator.
namespace pto::wsp::lower {
namespace {

using kernel::Attributes;
using kernel::Op;
using kernel::OpInfo;
using kernel::OpKind;
using kernel::TestKernel;
using kernel::Value;

constexpr std::array compute_dtypes{DType::F32, DType::F16, DType::BF16, DType::F64,
                                    DType::I8,  DType::I16, DType::I32,  DType::I64,
                                    DType::U8,  DType::U16, DType::U32,  DType::U64};

/// Shapes of the operands of one call.
using Shapes = std::vector<std::pair<int64_t, int64_t>>;

/// The program that applies `op` to loaded inputs; null when the table does not allow the types.
std::shared_ptr<const kernel::TileProgram> single(Op op, const std::vector<DType> &dtypes,
                                                  const Shapes &shapes,
                                                  const Attributes &attributes = {}) {
    TestKernel k;
    std::vector<Value> operands;
    for (size_t i = 0; i < shapes.size(); ++i) {
        operands.push_back(k.x(shapes[i].first, shapes[i].second, dtypes[i]));
    }
    Value result = -1;
    try {
        result = k.op(op, operands, attributes);
    } catch (const TypeCheckError &) {
        return nullptr;
    }
    kernel::TileType type = k.type(result);
    if (type.dtype == DType::Mask) {
        Value one = k.b.constant(1, DType::F32);
        Value zero = k.b.constant(0, DType::F32);
        result = k.op(Op::Where, {result, one, zero});
        type = k.type(result);
    }
    k.b.store(k.out("y", type.rows, type.columns, type.dtype), result);
    return k.b.finish();
}

Tolerance tolerance_of(Op op, DType result) {
    if (!is_exact(op)) {
        Tolerance tolerance = reassociated(result);
        tolerance.absolute = result == DType::F16 ? 1e-7 : 1e-30;
        return tolerance;
    }
    switch (op) {
    case Op::Maximum:
    case Op::Minimum:
    case Op::Rowmax:
    case Op::Rowmin:
    case Op::Colmax:
    case Op::Colmin:
    case Op::Relu:
        return same_value();
    default:
        return exact();
    }
}

void check(Op op, const std::vector<DType> &dtypes, const Shapes &shapes, Data data,
           const Attributes &attributes = {}) {
    auto program = single(op, dtypes, shapes, attributes);
    if (program == nullptr) {
        return;
    }
    SCOPED_TRACE(kernel::name(op));
    DType result = program->params.back().type.dtype;
    check_program(program, data, tolerance_of(op, result));
}

TEST(Ops, ElementwiseOfOneOperand) {
    for (const OpInfo &row : kernel::ops()) {
        if (row.kind != OpKind::Elementwise || row.max_arity() != 1 || row.op == Op::Cast) {
            continue;
        }
        for (DType dtype : compute_dtypes) {
            check(row.op, {dtype}, {{17, 33}}, Data::Awkward);
        }
    }
}

TEST(Ops, ElementwiseOfTwoOperands) {
    const std::array<Shapes, 4> broadcasts{
        Shapes{{17, 33}, {17, 33}}, {{17, 1}, {1, 33}}, {{1, 1}, {17, 33}}, {{17, 33}, {17, 1}}};
    size_t next = 0;
    for (const OpInfo &row : kernel::ops()) {
        if (row.kind != OpKind::Elementwise || row.min_arity() != 2 || row.max_arity() != 2) {
            continue;
        }
        for (DType a : compute_dtypes) {
            for (DType b : {a, compute_dtypes[next % compute_dtypes.size()]}) {
                check(row.op, {a, b}, broadcasts[next++ % broadcasts.size()], Data::Awkward);
            }
        }
    }
}

TEST(Ops, CastBetweenAllTypes) {
    for (DType from : compute_dtypes) {
        for (DType to : compute_dtypes) {
            check(Op::Cast, {from}, {{33, 100}}, Data::Awkward,
                  {{"dtype", std::string(pto::wsp::name(to))}});
        }
    }
}

TEST(Ops, Where) {
    for (DType dtype : compute_dtypes) {
        TestKernel k;
        Value a = k.x(17, 33, dtype);
        Value b = k.x(1, 33, dtype);
        Value mask = k.op(Op::Lt, {a, b});
        k.b.store(k.out("y", 17, 33, dtype), k.op(Op::Where, {mask, b, a}));
        check_program(k.b.finish(), Data::Awkward, exact());
    }
}

TEST(Ops, ReductionsOfOddLengths) {
    for (Op op : {Op::Rowsum, Op::Rowmean, Op::Rowmax, Op::Rowmin}) {
        for (DType dtype : compute_dtypes) {
            check(op, {dtype}, {{3, 100}}, Data::Ordinary);
        }
        check(op, {DType::F32}, {{1, 1}}, Data::Ordinary);
        check(op, {DType::F32}, {{17, 3}}, Data::Ordinary);
        check(op, {DType::I32}, {{17, 33}}, Data::Awkward);
    }
    for (Op op : {Op::Rowmax, Op::Rowmin}) {
        check(op, {DType::F32}, {{100, 17}}, Data::Awkward);
        check(op, {DType::F16}, {{64, 3}}, Data::Awkward);
    }
}

TEST(Ops, ColumnReductionsOfOddLengths) {
    for (Op op : {Op::Colsum, Op::Colmax, Op::Colmin}) {
        for (DType dtype : compute_dtypes) {
            check(op, {dtype}, {{17, 33}}, Data::Ordinary);
        }
        for (auto shape : {std::pair{1, 1}, {1, 33}, {100, 3}, {3, 1}}) {
            check(op, {DType::F32}, {shape}, Data::Ordinary);
        }
    }
    for (Op op : {Op::Colmax, Op::Colmin}) {
        check(op, {DType::F32}, {{17, 100}}, Data::Awkward);
        check(op, {DType::U64}, {{17, 33}}, Data::Awkward);
    }
}

TEST(Ops, MovesInsideRows) {
    for (DType dtype : compute_dtypes) {
        check(Op::SliceEven, {dtype}, {{3, 33}}, Data::Awkward);
        check(Op::SliceOdd, {dtype}, {{3, 33}}, Data::Awkward);
        check(Op::Interleave, {dtype, dtype}, {{3, 17}, {3, 17}}, Data::Awkward);
        check(Op::Reshape, {dtype}, {{6, 35}}, Data::Awkward,
              {{"rows", Affine(10)}, {"columns", Affine(21)}});
    }
    check(Op::IotaU32, {}, {}, Data::Ordinary, {{"columns", Affine(33)}});
}

TEST(Ops, SortsRows) {
    for (DType dtype : compute_dtypes) {
        for (Op op : {Op::TopkValues, Op::TopkIndices}) {
            // Whole numbers have many equal ones.
            check(op, {dtype}, {{3, 33}}, Data::Whole, {{"k", Affine(7)}});
            check(op, {dtype}, {{3, 33}}, Data::Awkward, {{"k", Affine(33)}});
        }
    }
    check(Op::TopkValues, {DType::F32}, {{1, 1}}, Data::Awkward, {{"k", Affine(1)}});
    check(Op::Tsort32, {DType::F32, DType::U32}, {{1, 32}, {1, 32}}, Data::Whole);
    TestKernel k;
    Value pairs = k.op(Op::Tsort32, {k.x(1, 32), k.x(1, 32, DType::U32)});
    Value indices = k.op(Op::ExtractTopkIndices, {pairs}, {{"k", Affine(8)}});
    k.b.store(k.out("y", 1, 8, DType::U32), indices);
    check_program(k.b.finish(), Data::Awkward, exact());
}

TEST(Ops, MatmulOfAllTransposes) {
    for (DType dtype : compute_dtypes) {
        for (bool a : {false, true}) {
            for (bool b : {false, true}) {
                for (bool acc : {false, true}) {
                    Shapes shapes{a ? std::pair{33, 17} : std::pair{17, 33},
                                  b ? std::pair{3, 33} : std::pair{33, 3}};
                    std::vector<DType> types{dtype, dtype};
                    if (acc) {
                        shapes.push_back({17, 3});
                        types.push_back(single(Op::Matmul, {dtype, dtype}, {{1, 1}, {1, 1}})
                                            ->params.back()
                                            .type.dtype);
                    }
                    Attributes flags{{"trans_a", a}, {"trans_b", b}};
                    // Sums of whole numbers are exact in any order.
                    auto program = single(Op::Matmul, types, shapes, flags);
                    ASSERT_NE(program, nullptr) << pto::wsp::name(dtype);
                    check_program(program, Data::Whole, same_value());
                }
            }
        }
    }
}

TEST(Ops, MatmulOfShapesAroundTheRegisterTile) {
    for (auto [m, n, k] : {std::array{1, 1, 1},
                           {1, 100, 64},
                           {100, 1, 3},
                           {64, 64, 64},
                           {33, 100, 17},
                           {100, 33, 100}}) {
        check(Op::Matmul, {DType::F32, DType::F32}, {{m, k}, {k, n}}, Data::Whole);
    }
}

/// Sets a[1, 2] and all of a[3] to 0 and b[2] to what 0 must not meet.
void place_specials(const TensorView &a, const TensorView &b) {
    constexpr double inf = std::numeric_limits<double>::infinity();
    set(a, 1, 2, 0);
    for (int64_t k = 0; k < a.shape[1]; ++k) {
        set(a, 3, k, k % 2 == 0 ? 0.0L : -0.0L);
    }
    for (int64_t c = 0; c < b.shape[1]; ++c) {
        set(b, 2, c, c % 3 == 0 ? inf : c % 3 == 1 ? -inf : std::nan(""));
    }
}

TEST(Ops, MatmulThatSkipsZeros) {
    for (DType dtype : {DType::F16, DType::BF16, DType::F32, DType::F64}) {
        for (auto [m, n, k] :
             {std::array{5, 3, 4}, {5, 64, 70}, {64, 64, 64}, {70, 100, 33}, {4, 1, 3}}) {
            for (bool accumulates : {false, true}) {
                TestKernel kernel;
                std::vector<Value> operands{kernel.x(m, k, dtype), kernel.x(k, n, dtype)};
                const DType result = dtype == DType::F64 ? dtype : DType::F32;
                if (accumulates) {
                    operands.push_back(kernel.x(m, n, result));
                }
                Value y = kernel.op(Op::Matmul, operands, {{"skip_zeros", true}});
                kernel.b.store(kernel.out("y", m, n, result), y);
                auto program = kernel.b.finish();
                Random random(1);
                PlacedArguments placed(*program, Data::Whole, random,
                                       [](size_t) { return Placement::Contiguous; });
                place_specials(std::get<TensorView>(placed.arguments[0]),
                               std::get<TensorView>(placed.arguments[1]));
                auto expected = evaluated(*program, placed.arguments);
                compile_kernel(program)(placed.arguments);
                SCOPED_TRACE(fmt::format("{} {}x{}x{}", pto::wsp::name(dtype), m, n, k));
                expect_results(*program, placed.arguments, expected, same_value());
                const TensorView &out = std::get<TensorView>(placed.arguments.back());
                EXPECT_TRUE(std::isfinite(get_element(out.data, result, n)));
                EXPECT_FALSE(std::isfinite(get_element(out.data, result, 0)));
            }
        }
    }
}

/// Halide promises LLVM that sums are finite; what is asked of them must not be taken for known.
TEST(Ops, SumsAreAskedWhetherTheyAreNumbers) {
    for (Op sum : {Op::Rowsum, Op::Rowmean, Op::Colsum, Op::Matmul}) {
        for (Op question : {Op::Maximum, Op::Minimum, Op::Ne, Op::Eq, Op::Relu}) {
            TestKernel k;
            Value x = k.x(6, 6, DType::F32);
            Value y = sum == Op::Matmul ? k.op(sum, {x, x}) : k.op(sum, {x});
            Value one = k.b.constant(1, DType::F32);
            Value infinite = k.b.constant(std::numeric_limits<double>::infinity(), DType::F32);
            y = question == Op::Relu ? k.op(question, {y})
                : question == Op::Ne ? k.op(question, {y, y})
                                     : k.op(question, {y, question == Op::Eq ? infinite : one});
            if (k.type(y).dtype == DType::Mask) {
                y = k.op(Op::Where, {y, one, k.b.constant(0, DType::F32)});
            }
            kernel::TileType type = k.type(y);
            k.b.store(k.out("y", type.rows, type.columns, DType::F32), y);
            SCOPED_TRACE(fmt::format("{} of {}", kernel::name(question), kernel::name(sum)));
            check_program(k.b.finish(), Data::Awkward, reassociated(DType::F32));
        }
    }
}

/// As above, for casts between floats.
TEST(Ops, CastsAreAskedWhetherTheyAreNumbers) {
    for (auto [from, to] : {std::pair{DType::F32, DType::F64},
                            {DType::F64, DType::F32},
                            {DType::F16, DType::F64},
                            {DType::F64, DType::F16}}) {
        for (Op question : {Op::Maximum, Op::Minimum, Op::Ne}) {
            for (int64_t columns : {int64_t{1}, int64_t{33}}) {
                TestKernel k;
                Value x = k.op(Op::Cast, {k.x(6, columns, from)},
                               {{"dtype", std::string(pto::wsp::name(to))}});
                Value one = k.b.constant(1, to);
                Value y = k.op(question, {x, question == Op::Ne ? x : one});
                if (question == Op::Ne) {
                    y = k.op(Op::Where, {y, one, k.b.constant(0, to)});
                }
                k.b.store(k.out("y", 6, columns, to), y);
                SCOPED_TRACE(fmt::format("{} of {} as {}", kernel::name(question),
                                         pto::wsp::name(from), pto::wsp::name(to)));
                check_program(k.b.finish(), Data::Awkward, exact());
            }
        }
    }
}

TEST(Ops, ExtremesOfIndices) {
    for (Op index : {Op::RowIndex, Op::ColumnIndex}) {
        for (Op extreme : {Op::Rowmin, Op::Rowmax, Op::Colmin, Op::Colmax}) {
            for (DType dtype : {DType::I32, DType::I64, DType::F32}) {
                TestKernel k;
                Value x = k.op(index, {}, {{"rows", Affine(5)}, {"columns", Affine(7)}});
                if (dtype != DType::I32) {
                    x = k.op(Op::Cast, {x}, {{"dtype", std::string(pto::wsp::name(dtype))}});
                }
                Value y = k.op(extreme, {x});
                kernel::TileType type = k.type(y);
                k.b.store(k.out("y", type.rows, type.columns, dtype), y);
                SCOPED_TRACE(fmt::format("{} of {}", kernel::name(extreme), kernel::name(index)));
                check_program(k.b.finish(), Data::Ordinary, exact());
            }
        }
    }
}

/// Each row of 128 columns has its extreme elsewhere, so in each lane of the vectors once.
TEST(Ops, ExtremesStandInAnyLane) {
    constexpr int64_t columns = 128;
    for (DType dtype : {DType::F16, DType::F32, DType::F64}) {
        for (bool largest : {false, true}) {
            TestKernel k;
            kernel::Attributes promise{{"ignore_nan", true}};
            Value y =
                k.op(largest ? Op::Rowmax : Op::Rowmin, {k.x(columns, columns, dtype)}, promise);
            k.b.store(k.out("y", columns, 1, dtype), y);
            TensorView x = allocate_tensor({columns, columns}, dtype);
            for (int64_t i = 0; i < columns; ++i) {
                set(x, i, i, largest ? 1 : -1);
            }
            TensorView found = allocate_tensor({columns, 1}, dtype);
            compile_kernel(k.b.finish())({x, found});
            for (int64_t i = 0; i < columns; ++i) {
                EXPECT_EQ(at(found, i, 0), largest ? 1 : -1) << name(dtype) << " row " << i;
            }
        }
    }
}

TEST(Ops, SoftmaxOfHiddenRows) {
    for (DType dtype : {DType::F16, DType::F32, DType::F64}) {
        for (bool rewritten : {false, true}) {
            TestKernel k;
            Value y = k.op(Op::Softmax, {k.x(3, 17, dtype)}, {{"safe", true}});
            k.b.store(k.out("y", 3, 17, dtype), y);
            auto program = k.b.finish();
            TensorView x = allocate_tensor({3, 17}, dtype);
            for (int64_t i = 0; i < x.shape[1]; ++i) {
                set(x, 0, i, -std::numeric_limits<Element>::infinity());
                set(x, 1, i, i == 3 ? std::nan("") : -std::numeric_limits<double>::infinity());
                set(x, 2, i, i);
            }
            Arguments arguments{x, allocate_tensor({3, 17}, dtype)};
            auto expected = evaluated(*program, arguments);
            compile_kernel(rewritten ? kernel::rewrite_tile_program(*program, nullptr)
                                     : program)(arguments);
            expect_results(*program, arguments, expected, tolerance_of(Op::Softmax, dtype));
            const TensorView &out = std::get<TensorView>(arguments[1]);
            EXPECT_EQ(at(out, 0, 5), 0);
            EXPECT_TRUE(std::isnan(at(out, 1, 5)));
        }
    }
}

TEST(Ops, ShapesAndIndices) {
    for (DType dtype : compute_dtypes) {
        check(Op::Transpose, {dtype}, {{17, 33}}, Data::Awkward);
        check(Op::Broadcast, {dtype}, {{1, 33}}, Data::Awkward,
              {{"rows", Affine(17)}, {"columns", Affine(33)}});
        check(Op::Broadcast, {dtype}, {{17, 1}}, Data::Awkward,
              {{"rows", Affine(17)}, {"columns", Affine(3)}});
        check(Op::Softmax, {dtype}, {{17, 33}}, Data::Ordinary);
        check(Op::Rmsnorm, {dtype}, {{17, 33}}, Data::Ordinary, {{"eps", 1e-5}});
        check(Op::Layernorm, {dtype}, {{17, 33}}, Data::Ordinary, {{"eps", 1e-5}});
        check(Op::CausalMask, {dtype}, {{33, 33}}, Data::Ordinary);
        check(Op::CausalMask, {dtype, DType::I32}, {{17, 33}, {1, 1}}, Data::Ordinary);
    }
    for (Op op : {Op::RowIndex, Op::ColumnIndex}) {
        check(op, {}, {}, Data::Ordinary, {{"rows", Affine(17)}, {"columns", Affine(33)}});
    }
}

TEST(Ops, DivisionByConstantZeros) {
    for (DType dtype : {DType::F16, DType::F32, DType::F64}) {
        for (double zero : {0.0, -0.0}) {
            TestKernel k;
            Value x = k.x(3, 17, dtype);
            k.b.store(k.out("y", 3, 17, dtype), k.op(Op::Div, {x, k.b.constant(zero, dtype)}));
            check_program(k.b.finish(), Data::Awkward, exact());
        }
    }
}

TEST(Ops, PositionsFarAwayDoNotOverflow) {
    // A sum of int32 wraps, the offset of a mask does not take part in one.
    auto program = program_of(
        R"(kernel @far(%x: in tile<6x6xf32>, %r: scalar<i32>, %y: out tile<6x6xf32>, %z: out tile<6x6xf32>) {
  %0 = load %x : tile<6x6xf32>
  %1 = causal_mask %0, %r : tile<6x6xf32>
  %2 = row_index {columns = [6], rows = [6]} : tile<6x6xi32>
  %3 = column_index {columns = [6], rows = [6]} : tile<6x6xi32>
  %4 = add %2, %r : tile<6x6xi32>
  %5 = ge %4, %3 : tile<6x6xmask>
  %6 = constant {dtype = "f32", value = -1.0} : tile<1x1xf32>
  %7 = where %5, %0, %6 : tile<6x6xf32>
  store %y, %1
  store %z, %7
})");
    for (int64_t offset : {int64_t{INT32_MAX}, int64_t{INT32_MIN}, int64_t{2}}) {
        TensorView x = allocate_tensor({6, 6}, DType::F32);
        for (int64_t i = 0; i < 36; ++i) {
            set_element(x.data, DType::F32, i, i + 1);
        }
        Arguments arguments{x, offset, allocate_tensor({6, 6}, DType::F32),
                            allocate_tensor({6, 6}, DType::F32)};
        auto expected = evaluated(*program, arguments);
        compile_kernel(program)(arguments);
        expect_results(*program, arguments, expected, exact());
    }
}

TEST(Ops, ConstantsOfAllTypes) {
    for (DType dtype : compute_dtypes) {
        TestKernel k;
        Value x = k.x(3, 17, dtype);
        Value number = is_integer(dtype) ? k.b.constant(7, dtype) : k.b.constant(0.1, dtype);
        k.b.store(k.out("y", 3, 17, dtype), k.op(Op::Mul, {x, number}));
        check_program(k.b.finish(), Data::Awkward, exact());
    }
}

}  // namespace
}  // namespace pto::wsp::lower
