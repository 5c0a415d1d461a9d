#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <variant>
#include <vector>

#include <fmt/format.h>

#include "pto/wsp/core/tensor.h"
#include "pto/wsp/kernel/evaluate.h"
#include "pto/wsp/kernel/program.h"
#include "pto/wsp/program/program.h"

namespace pto::wsp::lower {

/// How far compiled code may be from the reference evaluator.
struct Tolerance {
    double relative = 0;
    double absolute = 0;
    bool sign_of_zero = false;  ///< -0 and +0 are not the same
};

/// Bit for bit, but for the payload of NaN.
inline Tolerance exact() {
    return {0, 0, true};
}
/// The same numbers; -0 is 0.
inline Tolerance same_value() {
    return {0, 0, false};
}
/// Sums in another order and functions within a few units in the last place of `dtype`.
inline Tolerance reassociated(DType dtype) {
    switch (dtype) {
    case DType::F16:
        return {4e-3, 4e-3, false};
    case DType::BF16:
        return {3e-2, 3e-2, false};
    case DType::F32:
        return {2e-5, 2e-5, false};
    case DType::F64:
        return {1e-12, 1e-12, false};
    default:
        return {};
    }
}

/// Operations whose results do not depend on the order of anything.
inline bool is_exact(kernel::Op op) {
    using kernel::Op;
    switch (op) {
    case Op::Exp:
    case Op::Log:
    case Op::Tanh:
    case Op::Sin:
    case Op::Cos:
    case Op::Erf:
    case Op::Gelu:
    case Op::Rsqrt:
    case Op::Sigmoid:
    case Op::Silu:
    case Op::Softmax:
    case Op::Rowsum:
    case Op::Rowmean:
    case Op::Colsum:
    case Op::Matmul:
        return false;
    default:
        return true;
    }
}

/// How a matrix lies in memory.
enum class Placement {
    Contiguous,
    Padded,
    Transposed,
    RowsReversed,
    ColumnsReversed,
    BothReversed,
    EverySecond,
    RepeatedRow,     ///< row stride 0: inputs only
    RepeatedColumn,  ///< column stride 0: inputs only
};
inline constexpr int writable_placements = 7;
inline constexpr int placements = 9;

/// What the elements are.
enum class Data {
    Ordinary,  ///< in [-2, 2]
    Whole,     ///< whole numbers in [-3, 3]: their sums are exact in any order
    Awkward,   ///< also NaN, infinities, zeros of both signs, subnormals and extremes
};

using Random = std::mt19937;

inline int64_t pick(Random &random, int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random);
}

/// Holds every value of every type.
using Element = long double;
static_assert(std::numeric_limits<Element>::digits >= 64);

inline bool is_unsigned(DType dtype) {
    return info(dtype).kind == DTypeKind::Unsigned;
}

/// U64 has the bits of an int64.
inline Element whole_element(DType dtype, int64_t value) {
    return is_unsigned(dtype) ? static_cast<Element>(static_cast<uint64_t>(value))
                              : static_cast<Element>(value);
}

inline Element random_element(Random &random, DType dtype, Data data) {
    if (data == Data::Whole) {
        return static_cast<Element>(pick(random, is_unsigned(dtype) ? 0 : -3, 3));
    }
    bool awkward = data == Data::Awkward && pick(random, 0, 3) == 0;
    if (is_integer(dtype)) {
        const int64_t extremes[] = {INT64_MAX, INT64_MIN, INT32_MAX, INT32_MIN, 0,
                                    -1,        65536,     16777217,  127,       -128};
        int64_t value = awkward ? extremes[pick(random, 0, 9)] : pick(random, -100, 100);
        return whole_element(dtype, wrap_to(dtype, value));
    }
    if (awkward) {
        constexpr double infinity = std::numeric_limits<double>::infinity();
        const double numbers[] = {
            infinity, -infinity, std::nan(""),  -0.0,  0.0, 1e-40, -1e-40, 6e-8,     65504,
            -3e38,    2.5e9,     -2147483648.0, 1e-38, 0.5, -0.5,  1.0625, 16777216, 5e-324};
        return round_to(dtype, numbers[pick(random, 0, 17)]);
    }
    return round_to(dtype, std::uniform_real_distribution<double>(-2, 2)(random));
}

inline void set_element(void *data, DType dtype, int64_t i, Element value) {
    auto real = static_cast<double>(value);
    switch (dtype) {
    case DType::F64:
        static_cast<double *>(data)[i] = real;
        return;
    case DType::F32:
        static_cast<float *>(data)[i] = static_cast<float>(real);
        return;
    case DType::F16:
        static_cast<uint16_t *>(data)[i] = float_to_half(static_cast<float>(real));
        return;
    case DType::BF16:
        static_cast<uint16_t *>(data)[i] = float_to_bfloat(static_cast<float>(real));
        return;
    default:
        break;
    }
    // Little-endian: the low bytes come first.
    uint64_t bits = value < 0 ? static_cast<uint64_t>(static_cast<int64_t>(value))
                              : static_cast<uint64_t>(value);
    int bytes = size_bytes(dtype);
    std::memcpy(static_cast<char *>(data) + i * bytes, &bits, static_cast<size_t>(bytes));
}

inline Element get_element(const void *data, DType dtype, int64_t i) {
    switch (dtype) {
    case DType::F64:
        return static_cast<const double *>(data)[i];
    case DType::F32:
        return static_cast<const float *>(data)[i];
    case DType::F16:
        return half_to_float(static_cast<const uint16_t *>(data)[i]);
    case DType::BF16:
        return bfloat_to_float(static_cast<const uint16_t *>(data)[i]);
    default:
        break;
    }
    int64_t value = 0;
    int bytes = size_bytes(dtype);
    std::memcpy(&value, static_cast<const char *>(data) + i * bytes, static_cast<size_t>(bytes));
    return whole_element(dtype, wrap_to(dtype, value));
}

inline Element at(const TensorView &view, int64_t r, int64_t c) {
    return get_element(view.data, view.dtype, r * view.strides[0] + c * view.strides[1]);
}
inline void set(const TensorView &view, int64_t r, int64_t c, Element value) {
    set_element(view.data, view.dtype, r * view.strides[0] + c * view.strides[1], value);
}

/// A matrix somewhere inside a larger block of memory that nothing else may touch.
struct Placed {
    TensorView block;
    TensorView view;
    std::vector<char> before;  ///< bytes of `block` when it was filled

    Placed(int64_t rows, int64_t columns, DType dtype, Placement placement, Data data,
           Random &random) {
        int64_t row = columns;
        int64_t column = 1;
        switch (placement) {
        case Placement::Contiguous:
            break;
        case Placement::Padded:
            row = columns + 3;
            break;
        case Placement::Transposed:
            row = 1;
            column = rows + 1;
            break;
        case Placement::RowsReversed:
            row = -columns - 1;
            break;
        case Placement::ColumnsReversed:
            column = -1;
            break;
        case Placement::BothReversed:
            row = -2 * columns;
            column = -2;
            break;
        case Placement::EverySecond:
            row = 2 * columns + 1;
            column = 2;
            break;
        case Placement::RepeatedRow:
            row = 0;
            break;
        case Placement::RepeatedColumn:
            row = 1;
            column = 0;
            break;
        }
        constexpr int64_t margin = 37;
        int64_t low = margin + std::max<int64_t>(0, -row * (rows - 1)) +
                      std::max<int64_t>(0, -column * (columns - 1));
        int64_t size = 2 * margin + 1 + std::abs(row) * std::max<int64_t>(0, rows - 1) +
                       std::abs(column) * std::max<int64_t>(0, columns - 1);
        block = allocate_tensor({1, size}, dtype);
        for (int64_t i = 0; i < size; ++i) {
            set(block, 0, i, random_element(random, dtype, data));
        }
        view = block;
        view.data = static_cast<char *>(block.data) + low * size_bytes(dtype);
        view.shape = {rows, columns};
        view.strides = {row, column};
        snapshot();
    }

    void snapshot() {
        const char *bytes = static_cast<const char *>(block.data);
        before.assign(bytes, bytes + block.nbytes());
    }

    /// True when nothing but elements of the view changed (`none`: not even those).
    bool rest_untouched(bool none) const {
        std::vector<char> now(before.size());
        std::memcpy(now.data(), block.data, now.size());
        int64_t offset = (static_cast<char *>(view.data) - static_cast<char *>(block.data));
        for (int64_t r = 0; !none && r < view.shape[0]; ++r) {
            for (int64_t c = 0; c < view.shape[1]; ++c) {
                int64_t byte =
                    offset + (r * view.strides[0] + c * view.strides[1]) * size_bytes(view.dtype);
                std::memcpy(&now[static_cast<size_t>(byte)], &before[static_cast<size_t>(byte)],
                            static_cast<size_t>(size_bytes(view.dtype)));
            }
        }
        return now == before;
    }
};

using Arguments = std::vector<std::variant<TensorView, double, int64_t, uint64_t>>;

/// A contiguous copy.
inline TensorView copy_of(const TensorView &view) {
    TensorView copy = allocate_tensor(view.shape, view.dtype);
    for (int64_t r = 0; r < view.shape[0]; ++r) {
        for (int64_t c = 0; c < view.shape[1]; ++c) {
            // By bytes: a NaN keeps its payload.
            std::memcpy(static_cast<char *>(copy.data) +
                            (r * copy.strides[0] + c * copy.strides[1]) * size_bytes(view.dtype),
                        static_cast<const char *>(view.data) +
                            (r * view.strides[0] + c * view.strides[1]) * size_bytes(view.dtype),
                        static_cast<size_t>(size_bytes(view.dtype)));
        }
    }
    return copy;
}

/// What the reference evaluator makes of copies of `arguments`.
inline std::vector<kernel::Argument> evaluated(const kernel::TileProgram &program,
                                               const Arguments &arguments,
                                               const std::map<std::string, int64_t> &symbols = {}) {
    std::vector<kernel::Argument> copies;
    for (const auto &argument : arguments) {
        if (const auto *view = std::get_if<TensorView>(&argument)) {
            copies.emplace_back(copy_of(*view));
        } else if (const auto *integer = std::get_if<int64_t>(&argument)) {
            copies.emplace_back(*integer);
        } else if (const auto *large = std::get_if<uint64_t>(&argument)) {
            copies.emplace_back(*large);
        } else {
            copies.emplace_back(std::get<double>(argument));
        }
    }
    kernel::evaluate(program, copies, symbols);
    return copies;
}

inline bool close(Element actual, Element expected, const Tolerance &tolerance) {
    if (std::isnan(actual) || std::isnan(expected)) {
        return std::isnan(actual) && std::isnan(expected);
    }
    if (actual == expected) {
        return !tolerance.sign_of_zero || std::signbit(actual) == std::signbit(expected);
    }
    return std::isfinite(actual) && std::isfinite(expected) &&
           std::abs(actual - expected) <=
               tolerance.absolute + tolerance.relative * std::abs(expected);
}

/// The first difference, or nothing.
inline std::string difference(const TensorView &actual, const TensorView &expected,
                              const Tolerance &tolerance) {
    for (int64_t r = 0; r < expected.shape[0]; ++r) {
        for (int64_t c = 0; c < expected.shape[1]; ++c) {
            if (!close(at(actual, r, c), at(expected, r, c), tolerance)) {
                return fmt::format("({}, {}) is {:.9g}, not {:.9g}", r, c, at(actual, r, c),
                                   at(expected, r, c));
            }
        }
    }
    return "";
}

/// Expects each result of `arguments` to be that of `expected`. True when all are.
inline bool expect_results(const kernel::TileProgram &program, const Arguments &arguments,
                           const std::vector<kernel::Argument> &expected,
                           std::optional<Tolerance> tolerance = std::nullopt) {
    bool all = true;
    for (size_t p = 0; p < program.params.size(); ++p) {
        const kernel::Param &param = program.params[p];
        if (param.kind != kernel::Param::Kind::Tile || param.direction == kernel::Direction::In) {
            continue;
        }
        std::string text =
            difference(std::get<TensorView>(arguments[p]), std::get<TensorView>(expected[p]),
                       tolerance.value_or(reassociated(param.type.dtype)));
        EXPECT_EQ(text, "") << "'" << param.name << "' of\n" << program.str();
        all = all && text.empty();
    }
    return all;
}

/// Arguments that keep the blocks around their matrices.
struct PlacedArguments {
    std::vector<std::optional<Placed>> placed;
    Arguments arguments;

    /// `placement(p)`: that of parameter p.
    template <typename F>
    PlacedArguments(const kernel::TileProgram &program, Data data, Random &random, F placement) {
        for (size_t p = 0; p < program.params.size(); ++p) {
            const kernel::Param &param = program.params[p];
            if (param.kind == kernel::Param::Kind::Scalar) {
                Element value = random_element(random, param.type.dtype,
                                               data == Data::Awkward ? Data::Ordinary : data);
                placed.emplace_back();
                if (is_integer(param.type.dtype)) {
                    arguments.emplace_back(static_cast<int64_t>(value));
                } else {
                    arguments.emplace_back(static_cast<double>(value));
                }
                continue;
            }
            placed.emplace_back(Placed(*param.type.rows.as_constant(),
                                       *param.type.columns.as_constant(), param.type.dtype,
                                       placement(p), data, random));
            arguments.emplace_back(placed.back()->view);
        }
    }

    void expect_rest_untouched(const kernel::TileProgram &program) const {
        for (size_t p = 0; p < placed.size(); ++p) {
            if (placed[p]) {
                bool input = program.params[p].direction == kernel::Direction::In;
                EXPECT_TRUE(placed[p]->rest_untouched(input))
                    << "memory around '" << program.params[p].name << "' changed by\n"
                    << program.str();
            }
        }
    }
};

/// Compiles, runs on contiguous random data and compares with the reference evaluator.
inline bool check_program(const std::shared_ptr<const kernel::TileProgram> &program, Data data,
                          std::optional<Tolerance> tolerance = std::nullopt, unsigned seed = 1,
                          const KernelOptions &options = {}) {
    Random random(seed);
    PlacedArguments placed(*program, data, random, [](size_t) { return Placement::Contiguous; });
    std::vector<kernel::Argument> expected = evaluated(*program, placed.arguments, options.symbols);
    compile_kernel(program, options)(placed.arguments);
    placed.expect_rest_untouched(*program);
    return expect_results(*program, placed.arguments, expected, tolerance);
}

/// A kernel from its text.
inline std::shared_ptr<const kernel::TileProgram> program_of(const std::string &text) {
    return kernel::parse_tile_program(text);
}

/// Whether objects are compiled anew is for the cache's own tests: here each run starts empty, in a
/// directory that goes away.
class EmptyCache : public ::testing::Environment {
public:
    EmptyCache() {
        char name[] = "/tmp/pto_wsp_lower_XXXXXX";
        directory_ = mkdtemp(name);
        setenv("PTO_WSP_CACHE_DIR", directory_.c_str(), 1);
        // Shrinking compiles hundreds of kernels; the failing program is printed instead.
        setenv("RC_PARAMS", "seed=20261121 noshrink=1", 0);
    }
    void TearDown() override;

private:
    std::string directory_;
};

}  // namespace pto::wsp::lower
