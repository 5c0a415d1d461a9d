/// Tile kernels against peers and against what the machine can do, on one core:
///     bench_tiles [JSON-FILE [LIBRARY:SYMBOL...]]
/// SYMBOL of each LIBRARY is a Fortran sgemm; one that ends in 64_ takes 64-bit integers. Exits
/// with 1 when a result is wrong; a time decides nothing.

#include <dlfcn.h>

#include <bit>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <map>
#include <random>

#include <Halide.h>
#include <fmt/format.h>

#include "contest.h"
#include "program/kernel_code.h"
#include "pto/wsp/backend/cpu/loader.h"
#include "pto/wsp/core/fingerprint.h"
#include "pto/wsp/kernel/builder.h"
#include "pto/wsp/kernel/evaluate.h"

namespace {

using namespace pto::wsp;
using kernel::Attributes;
using kernel::Builder;
using kernel::Direction;
using kernel::Op;
using kernel::Value;

constexpr int rounds = 11;

/// A kernel of contiguous tiles as one function: no look-up, no checks at the call.
class Code {
public:
    explicit Code(const std::shared_ptr<const kernel::TileProgram> &program) : program_(program) {
        KernelRequest request;
        request.program = program;
        request.layouts.resize(program->params.size());
        lower::Target target = lower::host_target();
        lower::Module module =
            lower::lower_kernel(prepare(request, target, nullptr), "bench", target);
        object_ = backend::cpu::load_object(backend::cpu::emit_object(module), program->name);
        function_ = reinterpret_cast<abi::KernelFn>(object_->address("bench.packed"));
    }

    std::function<void()> on(const std::vector<TensorView> &views) const {
        std::vector<int64_t> slots;
        for (const TensorView &view : views) {
            append_slots(slots, tile_view(view));
        }
        return [slots, function = function_, object = object_] { function(slots.data()); };
    }

    const std::shared_ptr<const kernel::TileProgram> &program() const { return program_; }

private:
    std::shared_ptr<const kernel::TileProgram> program_;
    std::shared_ptr<backend::cpu::LoadedObject> object_;
    abi::KernelFn function_ = nullptr;
};

/// A kernel of `inputs` tiles and one result of the same shape.
Code elementwise(const char *name, int64_t rows, int64_t columns, DType dtype, int inputs,
                 const std::function<Value(Builder &, const std::vector<Value> &)> &body) {
    Builder b(name);
    std::vector<Value> loaded;
    kernel::TileType type{dtype, rows, columns};
    std::vector<int> params;
    for (int i = 0; i < inputs; ++i) {
        params.push_back(b.param({"x" + std::to_string(i), kernel::Param::Kind::Tile, Direction::In,
                                  type, Loc::here()}));
    }
    int out = b.param({"y", kernel::Param::Kind::Tile, Direction::Out, type, Loc::here()});
    for (int param : params) {
        loaded.push_back(b.load(param));
    }
    b.store(out, body(b, loaded));
    return Code(b.finish());
}

double element(const TensorView &view, int64_t i) {
    switch (view.dtype) {
    case DType::F16:
        return half_to_float(static_cast<const uint16_t *>(view.data)[i]);
    case DType::BF16:
        return bfloat_to_float(static_cast<const uint16_t *>(view.data)[i]);
    default:
        return static_cast<const float *>(view.data)[i];
    }
}

/// Random numbers in [low, high).
TensorView random_tensor(int64_t rows, int64_t columns, DType dtype, float low, float high) {
    static std::mt19937 random(1);
    std::uniform_real_distribution<float> distribution(low, high);
    TensorView view = allocate_tensor({rows, columns}, dtype);
    for (int64_t i = 0; i < rows * columns; ++i) {
        float value = distribution(random);
        if (dtype == DType::F32) {
            static_cast<float *>(view.data)[i] = value;
        } else {
            static_cast<uint16_t *>(view.data)[i] =
                dtype == DType::F16 ? float_to_half(value) : float_to_bfloat(value);
        }
    }
    return view;
}

/// Distance from `exact` in units of the last place of f32.
double ulps(double actual, double exact) {
    int exponent = 0;
    std::frexp(exact, &exponent);
    return std::abs(actual - exact) / std::ldexp(1.0, std::max(exponent - 24, -149));
}

/// Greatest relative error of the first row of `y` against `exact(column)`.
double row_error(const TensorView &y, const std::function<double(int64_t)> &exact) {
    double worst = 0;
    for (int64_t c = 0; c < y.shape[1]; ++c) {
        double expected = exact(c);
        worst = std::max(worst, std::abs(element(y, c) - expected) / (std::abs(expected) + 1e-3));
    }
    return worst;
}

class Report {
public:
    void heading(const std::string &text) { fmt::print("\n{}\n", text); }

    /// `note` is what the numbers of the first contestant amount to, such as a fraction.
    void add(const std::string &group, const std::string &name, const std::vector<bench::Row> &rows,
             double allowed_error, const std::string &note = "") {
        for (const bench::Row &row : rows) {
            bool first = &row == &rows[0];
            fmt::print("  {:<34}{:<18}{:>11.3f} us{:>10}{:>11.1e}  {}\n", first ? name : "",
                       row.name, row.median_us, first ? "" : fmt::format("{:.2f} x", row.ratio),
                       row.error, first ? note : "");
            json_["cases"].push_back({{"group", group},
                                      {"name", name},
                                      {"contestant", row.name},
                                      {"median_us", row.median_us},
                                      {"spread_us", row.spread_us},
                                      {"ratio", row.ratio},
                                      {"error", row.error}});
            if (first && !(row.error <= allowed_error)) {
                wrong_.push_back(fmt::format("{} {}: error {:.1e}", group, name, row.error));
            }
        }
        std::fflush(stdout);
    }

    int finish(const char *file) {
        if (file != nullptr) {
            std::ofstream(file) << json_.dump(2) << "\n";
        }
        for (const std::string &each : wrong_) {
            fmt::print("wrong: {}\n", each);
        }
        return wrong_.empty() ? 0 : 1;
    }

private:
    Json json_;
    std::vector<std::string> wrong_;
};

/// e^x in units of the last place, against Halide's own.
void bench_exp(Report &report) {
    report.heading("exp (error in units of the last place; ratio: Halide's time over ours)");
    for (int64_t rows : {4, 64, 1024}) {
        constexpr int64_t columns = 1024;
        for (bool nonpositive : {false, true}) {
            TensorView x = random_tensor(rows, columns, DType::F32, -20, nonpositive ? 0 : 20);
            TensorView y = allocate_tensor({rows, columns}, DType::F32);
            Code code = elementwise("exp", rows, columns, DType::F32, 1,
                                    [&](Builder &b, const std::vector<Value> &in) {
                                        Attributes attributes;
                                        if (nonpositive) {
                                            attributes["nonpositive"] = true;
                                        }
                                        return b.op(Op::Exp, in, attributes);
                                    });
            Halide::Buffer<float> in(static_cast<float *>(x.data), columns, static_cast<int>(rows));
            Halide::Buffer<float> out(columns, static_cast<int>(rows));
            Halide::Var c, r;
            Halide::Func theirs;
            theirs(c, r) = Halide::exp(in(c, r));
            theirs.vectorize(c, lower::host_target().vector_bytes / 4);
            theirs.compile_jit(Halide::get_host_target()
                                   .with_feature(Halide::Target::NoAsserts)
                                   .with_feature(Halide::Target::NoBoundsQuery));
            auto error = [&](const float *found) {
                double worst = 0;
                for (int64_t i = 0; i < rows * columns; ++i) {
                    worst = std::max(worst, ulps(found[i], std::exp(element(x, i))));
                }
                return worst;
            };
            auto rows_found = bench::measure(
                {{"pto_wsp", code.on({x, y}), [&] { return error(static_cast<float *>(y.data)); }},
                 {"Halide", [&] { theirs.realize(out); }, [&] { return error(out.data()); }}},
                rounds);
            report.add("exp", fmt::format("{}{} KiB", nonpositive ? "x <= 0, " : "", rows * 4),
                       rows_found, 5);
        }
    }
}

/// Plain copying with the machine's vectors: what streaming through memory can do.
[[gnu::noinline]] void copy(const float *from, float *to, int64_t count) {
    using Vector = float __attribute__((vector_size(64), aligned(64)));
    const auto *x = reinterpret_cast<const Vector *>(from);
    auto *y = reinterpret_cast<Vector *>(to);
    for (int64_t i = 0; i < count / 16; i += 4) {
        y[i] = x[i];
        y[i + 1] = x[i + 1];
        y[i + 2] = x[i + 2];
        y[i + 3] = x[i + 3];
    }
}

/// Row by row kernels on arrays past all caches, against copying the same bytes.
void bench_rows(Report &report) {
    report.heading("rows, 128 MiB in and out (ratio: time of copying over ours)");
    constexpr int64_t rows = 32768;
    constexpr int64_t columns = 1024;
    TensorView x = random_tensor(rows, columns, DType::F32, -4, 4);
    TensorView y = allocate_tensor({rows, columns}, DType::F32);
    auto at = [&](int64_t c) { return element(x, c); };
    double largest = 0;
    double squares = 0;
    double sum = 0;
    for (int64_t c = 0; c < columns; ++c) {
        largest = std::max(largest, at(c));
        squares += at(c) * at(c);
    }
    for (int64_t c = 0; c < columns; ++c) {
        sum += std::exp(at(c) - largest);
    }
    struct Case {
        const char *name;
        std::function<Value(Builder &, const std::vector<Value> &)> body;
        std::function<double(int64_t)> exact;
    };
    const std::vector<Case> cases{
        {"x * 2 + 1, relu",
         [](Builder &b, const std::vector<Value> &in) {
             Value twice = b.op(Op::Mul, {in[0], b.constant(2.0)});
             return b.op(Op::Relu, {b.op(Op::Add, {twice, b.constant(1.0)})});
         },
         [&](int64_t c) { return std::max(0.0, at(c) * 2 + 1); }},
        {"silu", [](Builder &b, const std::vector<Value> &in) { return b.op(Op::Silu, in); },
         [&](int64_t c) { return at(c) / (1 + std::exp(-at(c))); }},
        {"softmax of rows",
         [](Builder &b, const std::vector<Value> &in) { return b.op(Op::Softmax, in); },
         [&](int64_t c) { return std::exp(at(c) - largest) / sum; }},
        {"RMSNorm of rows",
         [](Builder &b, const std::vector<Value> &in) {
             Value mean = b.op(Op::Rowmean, {b.op(Op::Mul, {in[0], in[0]})});
             Value scale = b.op(Op::Rsqrt, {b.op(Op::Add, {mean, b.constant(1e-6)})});
             return b.op(Op::Mul, {in[0], scale});
         },
         [&](int64_t c) { return at(c) / std::sqrt(squares / columns + 1e-6); }},
    };
    for (const Case &each : cases) {
        Code code = elementwise("rows", rows, columns, DType::F32, 1, each.body);
        TensorView copied = allocate_tensor({rows, columns}, DType::F32);
        auto found =
            bench::measure({{"pto_wsp", code.on({x, y}), [&] { return row_error(y, each.exact); }},
                            {"copy",
                             [&] {
                                 copy(static_cast<float *>(x.data),
                                      static_cast<float *>(copied.data), rows * columns);
                             }}},
                           rounds);
        report.add("rows", each.name, found, 1e-4,
                   fmt::format("{:.1f} GB/s", 8e-3 * rows * columns / found[0].median_us));
    }
}

struct Gemm {
    std::string name;
    void *symbol = nullptr;
    bool wide = false;
};

template <typename Int>
void call_gemm(void *symbol, int64_t n, const float *a, const float *b, float *c) {
    using Function = void (*)(const char *, const char *, const Int *, const Int *, const Int *,
                              const float *, const float *, const Int *, const float *, const Int *,
                              const float *, float *, const Int *);
    Int size = static_cast<Int>(n);
    float one = 1;
    float zero = 0;
    // Columns first: c' = b' a'.
    reinterpret_cast<Function>(symbol)("N", "N", &size, &size, &size, &one, b, &size, a, &size,
                                       &zero, c, &size);
}

Code product(int64_t m, int64_t n, int64_t k, DType dtype) {
    Builder b("product");
    auto tile = [&](const char *name, Direction direction, DType type, int64_t rows,
                    int64_t columns) {
        return b.param(
            {name, kernel::Param::Kind::Tile, direction, {type, rows, columns}, Loc::here()});
    };
    int left = tile("a", Direction::In, dtype, m, k);
    int right = tile("b", Direction::In, dtype, k, n);
    int out = tile("c", Direction::Out, DType::F32, m, n);
    b.store(out, b.op(Op::Matmul, {b.load(left), b.load(right)}));
    return Code(b.finish());
}

/// Greatest error of c = a b, over sqrt(k), of some rows.
double product_error(const TensorView &a, const TensorView &b, const TensorView &c) {
    int64_t k = a.shape[1];
    int64_t n = b.shape[1];
    double worst = 0;
    for (int64_t i = 0; i < a.shape[0]; i += std::max<int64_t>(1, a.shape[0] / 7)) {
        for (int64_t j = 0; j < n; ++j) {
            double sum = 0;
            for (int64_t l = 0; l < k; ++l) {
                sum += element(a, i * k + l) * element(b, l * n + j);
            }
            worst = std::max(worst, std::abs(element(c, i * n + j) - sum));
        }
    }
    return worst / std::sqrt(static_cast<double>(k));
}

void bench_gemm(Report &report, const std::vector<Gemm> &peers) {
    report.heading("tile GEMM, F32 (ratio: their time over ours)");
    for (int64_t n : {64, 96, 128, 192, 256}) {
        TensorView a = random_tensor(n, n, DType::F32, -1, 1);
        TensorView b = random_tensor(n, n, DType::F32, -1, 1);
        TensorView c = allocate_tensor({n, n}, DType::F32);
        TensorView other = allocate_tensor({n, n}, DType::F32);
        std::vector<bench::Contestant> contestants{{"pto_wsp",
                                                    product(n, n, n, DType::F32).on({a, b, c}),
                                                    [&] { return product_error(a, b, c); }}};
        for (const Gemm &peer : peers) {
            contestants.push_back({peer.name,
                                   [&, peer] {
                                       auto call = peer.wide ? call_gemm<int64_t> : call_gemm<int>;
                                       call(peer.symbol, n, static_cast<float *>(a.data),
                                            static_cast<float *>(b.data),
                                            static_cast<float *>(other.data));
                                   },
                                   [&] { return product_error(a, b, other); }});
        }
        double probe = 0;
        auto found = bench::measure(contestants, rounds, &probe);
        double rate = 2e-3 * static_cast<double>(n * n * n) / found[0].median_us;
        report.add("gemm", fmt::format("{0}x{0}x{0}", n), found, 1e-5,
                   fmt::format("{:.0f} GF/s, {:.2f} of FMA", rate, rate / probe));
    }
    report.heading("tile GEMM, BF16 to F32 (ratio: time of our F32 product over ours)");
    for (int64_t n : {64, 128, 256}) {
        TensorView a = random_tensor(n, n, DType::BF16, -1, 1);
        TensorView b = random_tensor(n, n, DType::BF16, -1, 1);
        TensorView c = allocate_tensor({n, n}, DType::F32);
        TensorView wide = random_tensor(n, n, DType::F32, -1, 1);
        TensorView other = allocate_tensor({n, n}, DType::F32);
        auto found =
            bench::measure({{"pto_wsp bf16", product(n, n, n, DType::BF16).on({a, b, c}),
                             [&] { return product_error(a, b, c); }},
                            {"pto_wsp f32", product(n, n, n, DType::F32).on({wide, wide, other}),
                             [&] { return product_error(wide, wide, other); }}},
                           rounds);
        double rate = 2e-3 * static_cast<double>(n * n * n) / found[0].median_us;
        report.add("gemm bf16", fmt::format("{0}x{0}x{0}", n), found, 1e-5,
                   fmt::format("{:.0f} GF/s", rate));
    }
}

/// The same kernel on 16 and on 32 bits.
void bench_narrow(Report &report) {
    report.heading("F16 and BF16 (ratio: time of the same in F32 over theirs)");
    struct Case {
        const char *name;
        int inputs;
        std::function<Value(Builder &, const std::vector<Value> &)> body;
        std::function<double(double, double)> exact;
    };
    const std::vector<Case> cases{
        {"x + y", 2, [](Builder &b, const std::vector<Value> &in) { return b.op(Op::Add, in); },
         [](double x, double y) { return x + y; }},
        {"x * y + x", 2,
         [](Builder &b, const std::vector<Value> &in) {
             return b.op(Op::Add, {b.op(Op::Mul, in), in[0]});
         },
         [](double x, double y) { return x * y + x; }},
        {"silu(x)", 1, [](Builder &b, const std::vector<Value> &in) { return b.op(Op::Silu, in); },
         [](double x, double) { return x / (1 + std::exp(-x)); }},
    };
    struct Size {
        const char *name;
        int64_t rows;
        int64_t columns;
    };
    for (const Size &size : {Size{"L1", 2, 1024}, {"L2", 64, 1024}, {"DRAM", 32768, 1024}}) {
        for (const Case &each : cases) {
            std::map<DType, std::vector<TensorView>> views;
            std::vector<bench::Contestant> contestants;
            auto add = [&](DType dtype) {
                std::vector<TensorView> &list = views[dtype];
                for (int i = 0; i < each.inputs; ++i) {
                    list.push_back(random_tensor(size.rows, size.columns, dtype, 0.5f, 2));
                }
                list.push_back(allocate_tensor({size.rows, size.columns}, dtype));
                Code code =
                    elementwise("narrow", size.rows, size.columns, dtype, each.inputs, each.body);
                contestants.push_back({std::string(name(dtype)), code.on(list), [&list, &each] {
                                           return row_error(list.back(), [&](int64_t c) {
                                               return each.exact(element(list[0], c),
                                                                 element(list[1], c));
                                           });
                                       }});
            };
            for (DType dtype : {DType::F16, DType::BF16, DType::F32}) {
                add(dtype);
            }
            auto found = bench::measure(contestants, rounds);
            for (size_t i = 0; i < 2; ++i) {
                report.add("narrow", fmt::format("{} {}", each.name, size.name),
                           {found[i],
                            [&] {
                                bench::Row wide = found[2];
                                wide.ratio = wide.median_us / found[i].median_us;
                                return wide;
                            }()},
                           i == 0 ? 2e-3 : 2e-2);
            }
        }
    }
}

}  // namespace

int main(int count, char **arguments) {
    std::vector<Gemm> peers;
    for (int i = 2; i < count; ++i) {
        std::string text = arguments[i];
        size_t colon = text.rfind(':');
        std::string path = text.substr(0, colon);
        std::string symbol = text.substr(colon + 1);
        void *library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
        void *found = library == nullptr ? nullptr : dlsym(library, symbol.c_str());
        if (found == nullptr) {
            fmt::print(stderr, "no {} in {}: {}\n", symbol, path, dlerror());
            continue;
        }
        std::string name = path.substr(path.rfind('/') + 1).substr(0, 16);
        peers.push_back(
            {name, found, symbol.size() > 3 && symbol.substr(symbol.size() - 3) == "64_"});
    }
    fmt::print("{}\n", lower::host_target().text);
    Report report;
    bench_exp(report);
    bench_rows(report);
    bench_gemm(report, peers);
    bench_narrow(report);
    return report.finish(count > 1 ? arguments[1] : nullptr);
}
