#include "bindings.h"

#include <fmt/format.h>

#include "arrays.h"
#include "pto/wsp/kernel/library.h"
#include "pto/wsp/program/library.h"

namespace pto::wsp::python {

namespace {

using namespace kernels;
using kernel::TileProgram;
using Program = std::shared_ptr<TileProgram>;

/// One call of the library: its arguments, its result, its line.
class LibraryCall {
public:
    explicit LibraryCall(const char *kernel) : kernel_(kernel), at_(user_loc()) {}

    TensorView view(const char *name, const py::object &array) const {
        return view_of_any(array, kernel_, name, at_).view;
    }
    std::optional<TensorView> optional(const char *name, const py::object &array) const {
        return array.is_none() ? std::nullopt : std::optional(view(name, array));
    }

    /// Runs `call(destination, at)` without the GIL. The result is `out`, or an array of the kind
    /// of `like`.
    template <class Call>
    py::object run(const py::object &out, const py::object &like, const Call &call) const {
        py::object result = out;
        Destination destination;
        if (out.is_none()) {
            destination.out = [&](const Shape &shape, DType dtype) {
                const py::gil_scoped_acquire gil;
                result = empty_like(like, shape, dtype);
                return view_of_any(result, kernel_, "out", at_).view;
            };
        } else {
            require_writeable(out, kernel_, at_);
            destination.out = view("out", out);
        }
        destination.while_waiting = [] {
            const py::gil_scoped_acquire gil;
            if (PyErr_CheckSignals() != 0) {
                throw py::error_already_set();
            }
        };
        {
            const py::gil_scoped_release release;
            call(destination, at_);
        }
        return result;
    }

    const char *kernel() const { return kernel_; }
    const Loc &at() const { return at_; }

private:
    const char *kernel_;
    Loc at_;
};

std::optional<std::vector<int64_t>> lengths_of(const LibraryCall &call, const char *name,
                                               const py::object &lengths) {
    if (lengths.is_none()) {
        return std::nullopt;
    }
    std::vector<int64_t> result;
    auto refuse = [&](const py::handle &what) {
        throw TypeCheckError(call.at(),
                             fmt::format("{}: '{}' holds integers, got {}", call.kernel(), name,
                                         py::repr(what).cast<std::string>()));
    };
    auto add = [&](const py::handle &entry) {
        if (!PyIndex_Check(entry.ptr()) || PyBool_Check(entry.ptr())) {
            refuse(entry);
        }
        const auto index = py::reinterpret_steal<py::object>(PyNumber_Index(entry.ptr()));
        if (!index) {
            throw py::error_already_set();
        }
        result.push_back(index.cast<int64_t>());
    };
    if (PyIndex_Check(lengths.ptr()) && !py::hasattr(lengths, "__len__")) {
        add(lengths);
    } else if (py::hasattr(lengths, "__iter__")) {
        for (const py::handle entry : lengths) {
            add(entry);
        }
    } else {
        refuse(lengths);
    }
    return result;
}

std::optional<Window> window_of(const LibraryCall &call, const py::object &window) {
    if (window.is_none()) {
        return std::nullopt;
    }
    if (py::isinstance<py::int_>(window) && !py::isinstance<py::bool_>(window)) {
        const auto keys = window.cast<int64_t>();
        if (keys >= 1) {
            return Window{keys - 1, keys - 1};
        }
    } else if (py::isinstance<py::tuple>(window) && py::len(window) == 2) {
        const auto pair = window.cast<std::pair<int64_t, int64_t>>();
        return Window{pair.first, pair.second};
    }
    throw TypeCheckError(call.at(),
                         fmt::format("attention: 'window' is {}, expected a number of keys >= 1 or "
                                     "a pair (left, right)",
                                     py::repr(window).cast<std::string>()));
}

std::optional<int64_t> query_start_of(const LibraryCall &call, const py::object &start) {
    if (py::isinstance<py::str>(start) && start.cast<std::string>() == "end") {
        return std::nullopt;
    }
    if (PyIndex_Check(start.ptr()) && !PyBool_Check(start.ptr())) {
        return start.cast<int64_t>();
    }
    throw TypeCheckError(call.at(),
                         fmt::format("attention: 'query_start' is {}, expected an integer or 'end'",
                                     py::repr(start).cast<std::string>()));
}

std::optional<TensorView> mask_of(const LibraryCall &call, const py::object &mask) {
    if (mask.is_none()) {
        return std::nullopt;
    }
    const ArrayArgument given = view_of_any(mask, call.kernel(), "attn_mask", call.at());
    if (given.view.dtype == DType::U8 && !given.is_bool) {
        throw TypeCheckError(call.at(), "attention: 'attn_mask' is U8, expected booleans or floats",
                             {}, "convert it: attn_mask != 0");
    }
    return given.view;
}

/// None is no activation.
Activation activation_of(const std::optional<std::string> &name, const Loc &at) {
    return name ? parse_activation(*name, at) : Activation::None;
}

RopeForm rope_form(bool interleaved) {
    return interleaved ? RopeForm::Interleaved : RopeForm::Half;
}

void bind_rows(py::module_ &module) {
    module.def(
        "softmax",
        [](const py::object &x, const py::object &out) {
            const LibraryCall call("softmax");
            const TensorView view = call.view("x", x);
            return call.run(out, x, [&](const Destination &to, const Loc &at) {
                kernels::softmax(view, to, at);
            });
        },
        py::arg("x"), py::arg("out"));
    module.def(
        "layernorm",
        [](const py::object &x, const py::object &gamma, const py::object &beta, double eps,
           const py::object &out) {
            const LibraryCall call("layernorm");
            const TensorView view = call.view("x", x);
            const auto gain = call.optional("gamma", gamma), shift = call.optional("beta", beta);
            return call.run(out, x, [&](const Destination &to, const Loc &at) {
                kernels::layernorm(view, gain, shift, eps, to, at);
            });
        },
        py::arg("x"), py::arg("gamma"), py::arg("beta"), py::arg("eps"), py::arg("out"));
    module.def(
        "rmsnorm",
        [](const py::object &x, const py::object &gamma, double eps, const py::object &out) {
            const LibraryCall call("rmsnorm");
            const TensorView view = call.view("x", x);
            const auto gain = call.optional("gamma", gamma);
            return call.run(out, x, [&](const Destination &to, const Loc &at) {
                kernels::rmsnorm(view, gain, eps, to, at);
            });
        },
        py::arg("x"), py::arg("gamma"), py::arg("eps"), py::arg("out"));
    module.def(
        "rope",
        [](const py::object &x, const py::object &cos, const py::object &sin, bool interleaved,
           const py::object &out) {
            const LibraryCall call("rope");
            const TensorView view = call.view("x", x);
            const TensorView c = call.view("cos", cos), s = call.view("sin", sin);
            return call.run(out, x, [&](const Destination &to, const Loc &at) {
                kernels::rope(view, c, s, rope_form(interleaved), to, at);
            });
        },
        py::arg("x"), py::arg("cos"), py::arg("sin"), py::arg("interleaved"), py::arg("out"));
    module.def(
        "swiglu",
        [](const py::object &gate, const py::object &up, const py::object &out) {
            const LibraryCall call("swiglu");
            const TensorView g = call.view("gate", gate), u = call.view("up", up);
            return call.run(out, gate, [&](const Destination &to, const Loc &at) {
                kernels::swiglu(g, u, to, at);
            });
        },
        py::arg("gate"), py::arg("up"), py::arg("out"));
}

void bind_products(py::module_ &module) {
    module.def(
        "matmul",
        [](const py::object &a, const py::object &b, const py::object &bias,
           const std::optional<std::string> &activation, const py::object &out) {
            const LibraryCall call("matmul");
            const TensorView left = call.view("a", a), right = call.view("b", b);
            const kernels::MatmulOptions options{call.optional("bias", bias),
                                                 activation_of(activation, call.at())};
            return call.run(out, a, [&](const Destination &to, const Loc &at) {
                kernels::matmul(left, right, options, to, at);
            });
        },
        py::arg("a"), py::arg("b"), py::arg("bias"), py::arg("activation"), py::arg("out"));
    module.def(
        "attention",
        [](const py::object &q, const py::object &k, const py::object &v, const py::object &mask,
           bool is_causal, std::optional<double> scale, bool enable_gqa, const py::object &window,
           const py::object &alibi_slopes, const py::object &lengths, const py::object &kv_lengths,
           const py::object &query_start, const py::object &out) {
            const LibraryCall call("attention");
            AttentionOptions options;
            options.attn_mask = mask_of(call, mask);
            options.is_causal = is_causal;
            options.scale = scale;
            options.enable_gqa = enable_gqa;
            options.window = window_of(call, window);
            options.alibi_slopes = call.optional("alibi_slopes", alibi_slopes);
            options.lengths = lengths_of(call, "lengths", lengths);
            options.kv_lengths = lengths_of(call, "kv_lengths", kv_lengths);
            options.query_start = query_start_of(call, query_start);
            const TensorView queries = call.view("q", q);
            const TensorView keys = call.view("k", k), values = call.view("v", v);
            return call.run(out, q, [&](const Destination &to, const Loc &at) {
                kernels::attention(queries, keys, values, options, to, at);
            });
        },
        py::arg("q"), py::arg("k"), py::arg("v"), py::arg("attn_mask"), py::arg("is_causal"),
        py::arg("scale"), py::arg("enable_gqa"), py::arg("window"), py::arg("alibi_slopes"),
        py::arg("lengths"), py::arg("kv_lengths"), py::arg("query_start"), py::arg("out"));
}

Program mutable_program(ProgramPtr program) {
    return std::const_pointer_cast<TileProgram>(std::move(program));
}

void bind_programs(py::module_ &module) {
    module.def(
        "matmul_program",
        [](const Affine &rows, const Affine &columns, const Affine &depth, DType dtype,
           std::optional<DType> bias, const std::optional<std::string> &activation,
           std::optional<DType> out) {
            const Loc at = user_loc();
            return mutable_program(matmul_program(
                {dtype, rows, columns, depth, bias, activation_of(activation, at), out}, at));
        },
        py::arg("rows"), py::arg("columns"), py::arg("depth"), py::arg("dtype"), py::arg("bias"),
        py::arg("activation"), py::arg("out"));
    module.def(
        "softmax_program",
        [](const kernel::TileType &tile) {
            return mutable_program(softmax_program(tile, user_loc()));
        },
        py::arg("tile"));
    module.def(
        "layernorm_program",
        [](const kernel::TileType &tile, std::optional<DType> gain, double eps) {
            return mutable_program(layernorm_program({tile, gain, eps}, user_loc()));
        },
        py::arg("tile"), py::arg("gain"), py::arg("eps"));
    module.def(
        "rmsnorm_program",
        [](const kernel::TileType &tile, std::optional<DType> gain, double eps) {
            return mutable_program(rmsnorm_program({tile, gain, eps}, user_loc()));
        },
        py::arg("tile"), py::arg("gain"), py::arg("eps"));
    module.def(
        "rope_program",
        [](const kernel::TileType &tile, bool interleaved, std::optional<DType> table) {
            return mutable_program(
                rope_program(tile, rope_form(interleaved), table.value_or(tile.dtype), user_loc()));
        },
        py::arg("tile"), py::arg("interleaved"), py::arg("table"));
    module.def(
        "swiglu_program",
        [](const kernel::TileType &tile) {
            return mutable_program(swiglu_program(tile, user_loc()));
        },
        py::arg("tile"));
    module.def(
        "attention_program",
        [](const Affine &rows, const Affine &keys, int64_t depth, DType dtype,
           std::optional<int64_t> value_depth, std::optional<double> scale,
           std::optional<int64_t> query_start, bool is_causal,
           std::optional<std::pair<int64_t, int64_t>> window, std::optional<DType> mask,
           bool alibi) {
            AttentionSpec spec;
            spec.dtype = dtype;
            spec.rows = rows;
            spec.keys = keys;
            spec.depth = depth;
            spec.value_depth = value_depth;
            spec.scale = scale;
            spec.query_start = query_start;
            spec.is_causal = is_causal;
            if (window) {
                spec.left = window->first;
                spec.right = window->second;
            }
            spec.mask = mask;
            spec.has_alibi = alibi;
            return mutable_program(attention_program(spec, user_loc()));
        },
        py::arg("rows"), py::arg("keys"), py::arg("depth"), py::arg("dtype"),
        py::arg("value_depth"), py::arg("scale"), py::arg("query_start"), py::arg("is_causal"),
        py::arg("window"), py::arg("mask"), py::arg("alibi"));
}

}  // namespace

void bind_library(py::module_ &module) {
    bind_rows(module);
    bind_products(module);
    bind_programs(module);
    py::class_<LibraryStats>(module, "LibraryStats")
        .def_readonly("kernels", &LibraryStats::kernels)
        .def_readonly("compiled", &LibraryStats::compiled)
        .def("__repr__", [](const LibraryStats &stats) {
            return fmt::format("<LibraryStats kernels={}, compiled={}>", stats.kernels,
                               stats.compiled);
        });
    module.def("library_stats", &library_stats);
}

}  // namespace pto::wsp::python
