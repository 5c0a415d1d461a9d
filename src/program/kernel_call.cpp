#include "kernel_call.h"

#include <fmt/format.h>

#include "kernel_code.h"
#include "pto/wsp/kernel/number.h"
#include "pto/wsp/support/error.h"
#include "pto/wsp/support/text.h"

namespace pto::wsp {

using kernel::Direction;
using kernel::Param;

namespace {

class Binding {
public:
    Binding(const kernel::TileProgram &program, const std::map<std::string, int64_t> &symbols,
            const std::vector<KernelArgument> &arguments, const Loc &at)
        : program_(program), arguments_(arguments), at_(at),
          symbols_(symbols.begin(), symbols.end()) {}

    KernelCall bind() {
        if (arguments_.size() != program_.params.size()) {
            fail(fmt::format("{} takes {} arguments, not {}", program_.name, program_.params.size(),
                             arguments_.size()));
        }
        for (size_t p = 0; p < arguments_.size(); ++p) {
            check(program_.params[p], arguments_[p]);
        }
        each_tile([this](const Param &param, const TileView &tile, size_t) {
            check_addressable(program_.name, param.name, tile, at_);
        });
        // All Symbols before the dims that are made of them.
        each_tile([this](const Param &param, const TileView &tile, size_t) {
            bind_symbol(param, param.type.rows, tile.rows, "rows");
            bind_symbol(param, param.type.columns, tile.columns, "columns");
        });
        call_.layouts.resize(arguments_.size());
        each_tile([this](const Param &param, const TileView &tile, size_t p) {
            kernel::TileType type = param.type;
            type.rows = declared(param, type.rows, tile.rows, "rows");
            type.columns = declared(param, type.columns, tile.columns, "columns");
            call_.layouts[p] = layout_of(tile, type);
        });
        copy_overlaps();
        check_valid_sizes();
        add_slots();
        call_.writes_nothing = writes_nothing();
        return std::move(call_);
    }

private:
    [[noreturn]] void fail(const std::string &text, std::vector<Note> notes = {}) const {
        throw TypeCheckError(at_, text, std::move(notes));
    }

    template <typename F> void each_tile(F f) {
        for (size_t p = 0; p < arguments_.size(); ++p) {
            if (const auto *view = std::get_if<TensorView>(&arguments_[p])) {
                f(program_.params[p], tile_view(*view), p);
            }
        }
    }

    void check(const Param &param, const KernelArgument &argument) const {
        const auto *view = std::get_if<TensorView>(&argument);
        if ((view != nullptr) != (param.kind == Param::Kind::Tile)) {
            fail(fmt::format("{}: '{}' takes a {}, not a {}", program_.name, param.name,
                             view == nullptr ? "tile" : "number",
                             view == nullptr ? "number" : "tile"));
        }
        if (view == nullptr) {
            check_number(param, argument);
            return;
        }
        if (view->rank() < 1 || view->rank() > 2) {
            fail(fmt::format("{}: '{}' is a tile of two dimensions, not a view {}", program_.name,
                             param.name, shape_text(view->shape)));
        }
        if (view->dtype != param.type.dtype) {
            fail(fmt::format("{}: '{}' is {}, not {}", program_.name, param.name,
                             info(param.type.dtype).user_name, info(view->dtype).user_name));
        }
    }

    static kernel::Number number(const KernelArgument &argument) {
        if (const auto *real = std::get_if<double>(&argument)) {
            return *real;
        }
        const auto *integer = std::get_if<int64_t>(&argument);
        return integer != nullptr ? kernel::Number(*integer)
                                  : kernel::Number(std::get<uint64_t>(argument));
    }

    void check_number(const Param &param, const KernelArgument &argument) const {
        DType dtype = param.type.dtype;
        const auto *real = std::get_if<double>(&argument);
        const bool fits = !is_integer(dtype) || (real != nullptr ? fits_integer(dtype, *real)
                                                                 : number(argument).fits(dtype));
        if (!fits) {
            fail(fmt::format("{}: '{}' is {}, not {}", program_.name, param.name,
                             info(dtype).user_name,
                             real != nullptr ? number_text(*real) : number(argument).str()));
        }
    }

    void bind_symbol(const Param &param, const Affine &dim, int64_t size, const char *what) {
        const std::string *symbol = kernel::symbol_of(dim);
        if (symbol == nullptr) {
            return;
        }
        auto [it, added] = symbols_.try_emplace(*symbol, size);
        if (!added && !(it->second == Affine(size))) {
            fail(fmt::format("{}: '{}' has {} {}, but {} is {} already", program_.name, param.name,
                             size, what, *symbol, it->second.str()));
        }
    }

    /// The declared size of a dim, which `size` must not pass.
    int64_t declared(const Param &param, const Affine &dim, int64_t size, const char *what) const {
        std::optional<int64_t> whole = dim.substitute(symbols_).as_constant();
        if (!whole) {
            throw InternalError("bind-call", "a symbol without a value in " + dim.str());
        }
        if (size > *whole) {
            fail(fmt::format("{}: '{}' has {} {}, more than the {} declared", program_.name,
                             param.name, size, what, *whole),
                 {{param.at, "declared here as " + param.type.user_str()}});
        }
        return *whole;
    }

    void copy_overlaps() {
        each_tile([this](const Param &a, const TileView &, size_t p) {
            for (size_t q = 0; q < p; ++q) {
                const auto *other = std::get_if<TensorView>(&arguments_[q]);
                bool writes =
                    a.direction != Direction::In || program_.params[q].direction != Direction::In;
                if (other != nullptr && writes &&
                    may_overlap(std::get<TensorView>(arguments_[p]), *other)) {
                    copy_overlapping(program_, call_.layouts, q, p, at_);
                }
            }
        });
    }

    void check_valid_sizes() const {
        for (const kernel::DimClass &dims : meeting_dims(program_, call_.layouts)) {
            int64_t first = -1;
            auto meet = [&](int p, int64_t TileView::*member, const char *what) {
                auto param = static_cast<size_t>(p);
                int64_t size = tile_view(std::get<TensorView>(arguments_[param])).*member;
                if (first >= 0 && size != first) {
                    fail(fmt::format("{}: '{}' has {} valid {}, where {} are expected",
                                     program_.name, program_.params[param].name, size, what,
                                     first));
                }
                first = size;
            };
            for (int p : dims.rows_of) {
                meet(p, &TileView::rows, "rows");
            }
            for (int p : dims.columns_of) {
                meet(p, &TileView::columns, "columns");
            }
        }
    }

    void add_slots() {
        for (size_t p = 0; p < arguments_.size(); ++p) {
            if (const auto *view = std::get_if<TensorView>(&arguments_[p])) {
                append_slots(call_.slots, tile_view(*view));
                continue;
            }
            DType dtype = program_.params[p].type.dtype;
            kernel::Number value = number(arguments_[p]);
            if (value.is_integer() && is_integer(dtype)) {
                call_.slots.push_back(value.integer());
            } else {
                append_slot(call_.slots, dtype, value.real());
            }
        }
    }

    bool writes_nothing() {
        bool nothing = true;
        each_tile([&](const Param &param, const TileView &tile, size_t) {
            bool empty = tile.rows == 0 || tile.columns == 0;
            nothing = nothing && (param.direction == Direction::In || empty);
        });
        return nothing;
    }

    const kernel::TileProgram &program_;
    const std::vector<KernelArgument> &arguments_;
    const Loc &at_;
    std::map<std::string, Affine> symbols_;
    KernelCall call_;
};

}  // namespace

KernelCall bind_call(const kernel::TileProgram &program,
                     const std::map<std::string, int64_t> &symbols,
                     const std::vector<KernelArgument> &arguments, const Loc &at) {
    return Binding(program, symbols, arguments, at).bind();
}

}  // namespace pto::wsp
