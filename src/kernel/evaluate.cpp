#include "pto/wsp/kernel/evaluate.h"

#include <cmath>

#include <fmt/format.h>

#include "check.h"
#include "memory.h"
#include "pto/wsp/core/tile_text.h"
#include "pto/wsp/kernel/custom.h"
#include "pto/wsp/kernel/dims.h"
#include "pto/wsp/support/error.h"
#include "pto/wsp/support/printing.h"
#include "pto/wsp/support/text.h"

namespace pto::wsp::kernel {

namespace {

/// Rounds floats to the type of `tile` and wraps integers to its width.
void round(RefTile &tile) {
    DType dtype = tile.dtype;
    if (is_float(dtype)) {
        tile.real = tile.real.unaryExpr([dtype](double x) { return round_to(dtype, x); });
    } else if (is_integer(dtype)) {
        tile.integer = tile.integer.unaryExpr([dtype](int64_t x) { return wrap_to(dtype, x); });
    }
}

class Evaluator {
public:
    Evaluator(const TileProgram &program, const std::vector<Argument> &arguments,
              const std::map<std::string, int64_t> &symbols)
        : program_(program), arguments_(arguments), symbols_(symbols),
          values_(program.values.size()) {
        for (size_t v = 0; v < program.values.size(); ++v) {
            int param = program.values[v].param;
            if (param >= 0) {
                values_[v] = scalar(program.values[v].type.dtype,
                                    std::get<Number>(arguments[static_cast<size_t>(param)]));
            }
        }
        // Inputs are read as they are before the kernel writes anything, also where they overlap.
        for (size_t p = 0; p < program.params.size(); ++p) {
            if (program.params[p].kind == Param::Kind::Tile &&
                program.params[p].direction == Direction::In) {
                Matrix view(std::get<TensorView>(arguments[p]));
                inputs_.emplace(static_cast<int>(p), view.read(0, 0, view.rows(), view.columns()));
            }
        }
    }

    void run() { block(0); }

private:
    static RefTile scalar(DType dtype, const Number &value) {
        RefTile tile = make_tile(dtype, 1, 1);
        if (is_integer(dtype)) {
            tile.integer(0, 0) = value.is_integer() ? value.integer() : cut_to(dtype, value.real());
        } else {
            tile.real(0, 0) = round_to(dtype, value.real());
        }
        return tile;
    }

    void block(int index) {
        for (int n : program_.blocks[static_cast<size_t>(index)].nodes) {
            visit(program_.nodes[static_cast<size_t>(n)]);
        }
    }

    RefTile &value(Value v) { return values_[static_cast<size_t>(v)]; }

    TileType concrete(Value v) const {
        const TileType &type = program_.type(v);
        return {type.dtype, type.rows.evaluate(symbols_), type.columns.evaluate(symbols_)};
    }

    void visit(const Node &node) {
        switch (node.op) {
        case Op::Load:
            value(node.results[0]) = load(node);
            break;
        case Op::Store:
        case Op::StoreMasked:
            store(node);
            break;
        case Op::Print:
            print(node);
            break;
        case Op::ForiLoop:
            loop(node);
            break;
        default:
            value(node.results[0]) = operation(node);
        }
    }

    static RefTile reference(const Node &node, const std::vector<RefTile> &operands,
                             const TileType &type) {
        try {
            return info(node.op).reference(operands, node.attributes, type);
        } catch (const KernelError &error) {
            throw KernelError(node.at, error.text());
        }
    }

    RefTile operation(const Node &node) {
        std::vector<RefTile> operands;
        for (Value operand : node.operands) {
            operands.push_back(value(operand));
        }
        TileType type = concrete(node.results[0]);
        RefTile made = reference(node, operands, type);
        made.dtype = type.dtype;
        round(made);
        if (!(type.rows == Affine(made.rows()) && type.columns == Affine(made.columns()))) {
            throw InternalError("evaluate",
                                fmt::format("{} made [{}, {}], not {}", name(node.op), made.rows(),
                                            made.columns(), type.shape_str()));
        }
        return made;
    }

    /// Offset number `index` of a window, 0 without one.
    int64_t offset(const Node &node, size_t index) {
        return node.operands.size() > index ? value(node.operands[index]).integer(0, 0) : 0;
    }

    void check_window(const Node &node, int64_t row, int64_t column, int64_t rows, int64_t columns,
                      const Matrix &whole) const {
        if (row >= 0 && column >= 0 && row + rows <= whole.rows() &&
            column + columns <= whole.columns()) {
            return;
        }
        throw KernelError(node.at,
                          fmt::format("{}: the window [{}, {}] at ({}, {}) leaves '{}', which is "
                                      "[{}, {}]",
                                      name(node.op), rows, columns, row, column,
                                      program_.params[static_cast<size_t>(param_of(node))].name,
                                      whole.rows(), whole.columns()));
    }

    Matrix matrix(const Node &node) const {
        return Matrix(std::get<TensorView>(arguments_[static_cast<size_t>(param_of(node))]));
    }

    RefTile load(const Node &node) {
        TileType type = concrete(node.results[0]);
        int64_t rows = *type.rows.as_constant();
        int64_t columns = *type.columns.as_constant();
        int64_t row = offset(node, 0);
        int64_t column = offset(node, 1);
        Matrix view = matrix(node);
        check_window(node, row, column, rows, columns, view);
        auto input = inputs_.find(param_of(node));
        if (input == inputs_.end()) {
            return view.read(row, column, rows, columns);
        }
        RefTile tile = make_tile(type.dtype, rows, columns);
        if (is_integer(type.dtype)) {
            tile.integer = input->second.integer.block(row, column, rows, columns);
        } else {
            tile.real = input->second.real.block(row, column, rows, columns);
        }
        return tile;
    }

    void store(const Node &node) {
        const RefTile &tile = value(node.operands[0]);
        const size_t first = first_offset(node.op);
        int64_t row = offset(node, first);
        int64_t column = offset(node, first + 1);
        Matrix view = matrix(node);
        check_window(node, row, column, tile.rows(), tile.columns(), view);
        view.write(row, column, tile,
                   node.op == Op::StoreMasked ? &value(node.operands[1]) : nullptr);
    }

    void print(const Node &node) {
        const RefTile &tile = value(node.operands[0]);
        print_text(printed_tile(print_title(node), tile.dtype, tile.rows(), tile.columns(),
                                [&](int64_t r, int64_t c) {
                                    return is_integer(tile.dtype) ? Element(tile.integer(r, c))
                                                                  : Element(tile.real(r, c));
                                }));
    }

    void loop(const Node &node) {
        const Block &body = program_.blocks[static_cast<size_t>(node.block)];
        int64_t lo = value(node.operands[0]).integer(0, 0);
        int64_t hi = value(node.operands[1]).integer(0, 0);
        std::vector<RefTile> carries;
        for (size_t c = 0; c < node.results.size(); ++c) {
            carries.push_back(value(node.operands[c + 2]));
        }
        for (int64_t i = lo; i < hi; ++i) {
            value(body.arguments[0]) = scalar(DType::I32, i);
            if (std::string symbol = loop_symbol(node); !symbol.empty()) {
                symbols_[symbol] = i;
            }
            for (size_t c = 0; c < carries.size(); ++c) {
                value(body.arguments[c + 1]) = carries[c];
            }
            block(node.block);
            for (size_t c = 0; c < carries.size(); ++c) {
                carries[c] = value(body.yields[c]);
            }
        }
        for (size_t c = 0; c < carries.size(); ++c) {
            value(node.results[c]) = carries[c];
        }
    }

    const TileProgram &program_;
    const std::vector<Argument> &arguments_;
    std::map<std::string, int64_t> symbols_;
    std::vector<RefTile> values_;
    std::map<int, RefTile> inputs_;
};

/// Checks the arguments against the parameters and finds the sizes that are valid.
class Binding {
public:
    std::map<std::string, int64_t> symbols;
    std::vector<bool> partial;  ///< of each parameter

    Binding(const TileProgram &program, const std::vector<Argument> &arguments,
            const std::map<std::string, int64_t> &given)
        : symbols(given), partial(program.params.size(), false), program_(program),
          arguments_(arguments) {
        if (arguments.size() != program.params.size()) {
            throw ExecutionError(program.at,
                                 fmt::format("{} takes {} arguments, not {}", program.name,
                                             program.params.size(), arguments.size()));
        }
        each_tile([this](const Param &param, const Matrix &view, size_t) {
            bind_symbol(param, param.type.rows, view.rows(), "rows");
            bind_symbol(param, param.type.columns, view.columns(), "columns");
        });
        each_tile([this](const Param &param, const Matrix &view, size_t p) {
            bool fewer_rows = is_partial(param, param.type.rows, view.rows(), "rows");
            bool fewer_columns = is_partial(param, param.type.columns, view.columns(), "columns");
            partial[p] = fewer_rows || fewer_columns;
        });
        each_tile([this](const Param &param, const Matrix &view, size_t) {
            symbols[valid_rows_symbol(param)] = view.rows();
            symbols[valid_columns_symbol(param)] = view.columns();
        });
    }

    /// Dims that meet must have the same valid size.
    void check_class(const DimClass &dims) const {
        std::vector<std::string> texts;
        std::vector<int64_t> sizes;
        auto add = [&](const std::string &symbol) {
            sizes.push_back(symbols.at(symbol));
            texts.push_back(fmt::format("{} = {}", symbol, sizes.back()));
        };
        for (int p : dims.rows_of) {
            add(valid_rows_symbol(program_.params[static_cast<size_t>(p)]));
        }
        for (int p : dims.columns_of) {
            add(valid_columns_symbol(program_.params[static_cast<size_t>(p)]));
        }
        for (int64_t size : sizes) {
            if (size != sizes[0]) {
                throw ExecutionError(program_.at,
                                     fmt::format("{}: partial tiles that meet differ in size: {}",
                                                 program_.name, join(texts)));
            }
        }
    }

private:
    template <typename F> void each_tile(F f) {
        for (size_t p = 0; p < program_.params.size(); ++p) {
            const Param &param = program_.params[p];
            const auto *view = std::get_if<TensorView>(&arguments_[p]);
            if ((view != nullptr) != (param.kind == Param::Kind::Tile)) {
                fail(param, fmt::format("takes a {}, not a {}", view == nullptr ? "tile" : "number",
                                        view == nullptr ? "number" : "tile"));
            }
            if (view == nullptr) {
                check_scalar(param, std::get<Number>(arguments_[p]));
                continue;
            }
            if (view->rank() < 1 || view->rank() > 2) {
                fail(param, fmt::format("takes a view of rank 2, not {}", shape_text(view->shape)));
            }
            if (view->dtype != param.type.dtype) {
                fail(param, fmt::format("holds {}, the view {}", pto::wsp::name(param.type.dtype),
                                        pto::wsp::name(view->dtype)));
            }
            f(param, Matrix(*view), p);
        }
    }

    [[noreturn]] void fail(const Param &param, const std::string &text) const {
        throw ExecutionError(program_.at,
                             fmt::format("{}: '{}' {}", program_.name, param.name, text),
                             {{param.at, fmt::format("'{}' is declared here", param.name)}});
    }

    void check_scalar(const Param &param, const Number &value) const {
        DType dtype = param.type.dtype;
        bool fits = value.is_integer() ? value.fits(dtype) : fits_integer(dtype, value.real());
        if (is_integer(dtype) && !fits) {
            fail(param, fmt::format("is {}, not {}", pto::wsp::name(dtype),
                                    value.is_integer() ? value.str() : number_text(value.real())));
        }
    }

    /// A dim that is a Symbol has the view's size.
    void bind_symbol(const Param &param, const Affine &dim, int64_t size, const char *what) {
        for (const auto &[name, coefficient] : dim.terms()) {
            if (!(dim == Affine::variable(name))) {
                return;
            }
            auto [symbol, added] = symbols.try_emplace(name, size);
            if (!added && symbol->second != size) {
                fail(param,
                     fmt::format("has {} {}, but {} is {}", size, what, name, symbol->second));
            }
        }
    }

    bool is_partial(const Param &param, const Affine &dim, int64_t size, const char *what) const {
        for (const auto &[name, coefficient] : dim.terms()) {
            if (symbols.count(name) == 0) {
                fail(param, fmt::format("has {} {}, and {} has no value", dim.str(), what, name));
            }
        }
        int64_t declared = dim.evaluate(symbols);
        if (size > declared) {
            fail(param, fmt::format("has {} {}, more than the {} declared", size, what, declared));
        }
        return size < declared;
    }

    const TileProgram &program_;
    const std::vector<Argument> &arguments_;
};

}  // namespace

void evaluate(const TileProgram &program, const std::vector<Argument> &arguments,
              const std::map<std::string, int64_t> &symbols) {
    if (program.custom != nullptr) {
        throw CompileError(program.at,
                           fmt::format("kernel '{}' has a body in {}: the reference evaluator runs "
                                       "tile programs only",
                                       program.name, program.custom->language()));
    }
    Binding binding(program, arguments, symbols);
    PartialProgram valid = with_valid_sizes(program, binding.partial);
    for (const DimClass &dims : valid.classes) {
        binding.check_class(dims);
    }
    Evaluator(*valid.program, arguments, binding.symbols).run();
}

}  // namespace pto::wsp::kernel
