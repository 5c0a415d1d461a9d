#include "statements.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "apply_steps.h"
#include "bind_buffers.h"
#include "lane_extremes.h"
#include "narrow_floats.h"
#include "pto/wsp/core/abi.h"
#include "pto/wsp/kernel/dims.h"
#include "pto/wsp/support/error.h"
#include "region_funcs.h"
#include "valid_sizes.h"

namespace pto::wsp::lower {

using namespace Halide::Internal;
using Halide::Expr;
using Halide::Handle;
using Halide::Int;
using Halide::Type;
using Halide::UInt;
using kernel::Node;
using kernel::Param;
using kernel::TileType;
using kernel::Value;

namespace {

constexpr std::array tile_slot_names = {".host", ".row_stride", ".column_stride", ".slot_rows",
                                        ".slot_columns"};
static_assert(tile_slot_names.size() == abi::tile_slots);

Expr i64(const Expr &x) {
    return Halide::cast<int64_t>(x);
}

Expr variable(Type type, const std::string &name) {
    return Variable::make(type, name);
}

Expr offset_pointer(const Expr &pointer, const Expr &bytes) {
    return reinterpret(Handle(), reinterpret(UInt(64), pointer) + Halide::cast<uint64_t>(bytes));
}

/// Replaces calls of Funcs by expressions.
class ReplaceCalls : public IRMutator {
public:
    explicit ReplaceCalls(const std::map<std::string, Expr> &values) : values_(values) {}

private:
    using IRMutator::visit;

    Expr visit(const Call *op) override {
        auto it = values_.find(op->name);
        return it == values_.end() ? IRMutator::visit(op) : it->second;
    }

    const std::map<std::string, Expr> &values_;
};

/// Makes the stores to a buffer conditional.
class GuardStores : public IRMutator {
public:
    GuardStores(const std::string &buffer, const Expr &condition)
        : buffer_(buffer), condition_(condition) {}

private:
    using IRMutator::visit;

    Stmt visit(const Store *op) override {
        return op->name == buffer_ ? IfThenElse::make(condition_, op) : Stmt(op);
    }

    const std::string &buffer_;
    const Expr &condition_;
};

class StatementBuilder {
public:
    StatementBuilder(const KernelVariant &variant, const schedule::Outline &outline,
                     const Target &target)
        : variant_(variant), program_(*variant.program), outline_(outline) {
        bool wide = std::any_of(variant.layouts.begin(), variant.layouts.end(),
                                [](const ParamLayout &layout) { return layout.wide; });
        target_ = code_target(target, wide);
    }

    Stmt build() {
        Stmt body = statements(outline_.statements);
        for (size_t s = outline_.scratch.size(); s-- > 0;) {
            if (outline_.scratch[s].owns_memory) {
                body = allocate(outline_.scratch[s], body);
            }
        }
        for (size_t p = 0; p < program_.params.size(); ++p) {
            if (variant_.layouts[p].copied) {
                body = copy_first(program_.params[p], body);
            }
        }
        if (Stmt checks = check_valid_sizes(variant_); checks.defined()) {
            body = Block::make(checks, body);
        }
        return write_conversions(halve_lane_extremes(bind_symbols(body)), target_);
    }

private:
    Stmt statements(const std::vector<schedule::Statement> &list) {
        Stmt rest;
        for (size_t i = list.size(); i-- > 0;) {
            Stmt here;
            if (const auto *region = std::get_if<schedule::Region>(&list[i].kind)) {
                if (region->stores.empty() && region->outputs.empty()) {
                    continue;
                }
                here = region_statement(*region);
            } else if (const auto *tile = std::get_if<schedule::PrintStatement>(&list[i].kind)) {
                here = print(*tile);
            } else {
                const auto &carried = std::get<schedule::CarriedLoop>(list[i].kind);
                here = loop(carried);
                rest = rest.defined() ? with_results(carried, rest) : rest;
            }
            rest = rest.defined() ? Block::make({here, settle(null_pointer()), rest}) : here;
        }
        return rest.defined() ? rest : Evaluate::make(0);
    }

    Stmt print(const schedule::PrintStatement &tile) const {
        const Node &node = program_.nodes[static_cast<size_t>(tile.node)];
        const schedule::Scratch &scratch = outline_.scratch[static_cast<size_t>(tile.scratch)];
        const TileType &type = scratch.type;
        return Evaluate::make(
            Call::make(Int(32), "pto_wsp_print_tile",
                       {StringImm::make(kernel::print_title(node)),
                        static_cast<int32_t>(type.dtype), variable(Handle(), scratch.name),
                        i64(size(type.rows)), i64(size(type.columns)), i64(pitch(type))},
                       Call::Extern));
    }

    static Expr null_pointer() { return reinterpret(Handle(), make_zero(UInt(64))); }

    /// Keeps LLVM from moving loads of one part of a kernel across stores of another. Halide tells
    /// it that buffers of two names are two, and a scratch tile is named anew where it is read. A
    /// copy of nothing: LLVM cannot see into it, and knows from it that `memory` is seen outside.
    static Stmt settle(const Expr &memory) {
        const Expr none = i64(0);
        return Evaluate::make(Call::make(Int(32), "pto_wsp_copy_tile",
                                         {memory, memory, none, none, none, none, none},
                                         Call::Extern));
    }

    Stmt region_statement(const schedule::Region &region) {
        RegionFuncs funcs = build_region(variant_, outline_, region);
        apply_steps(variant_.schedule, outline_, region, funcs);
        Halide::Pipeline pipeline(funcs.roots);
        Halide::Module module = pipeline.compile_to_module(
            pipeline.infer_arguments(), "region" + std::to_string(region.index), target_);
        const LoweredFunc lowered =
            module.get_function_by_name("region" + std::to_string(region.index));
        std::map<std::string, BufferLayout> layouts;
        std::vector<Stmt> checks;
        for (const auto &[name, buffer] : funcs.buffers) {
            layouts[name] = layout(buffer, checks);
        }
        check_slices(region, checks);
        Stmt body = bind_buffers(lowered.body, layouts);
        for (const auto &[name, buffer] : funcs.buffers) {
            if (buffer.kind == RegionBuffer::Kind::Store) {
                body = guarded_stores(name, buffer.index, body);
            }
        }
        checks.push_back(body);
        return Block::make(checks);
    }

    BufferLayout layout(const RegionBuffer &buffer, std::vector<Stmt> &checks) {
        if (buffer.kind == RegionBuffer::Kind::Scratch) {
            const schedule::Scratch &scratch = outline_.scratch[static_cast<size_t>(buffer.index)];
            return {variable(Handle(), scratch.name),
                    {size(scratch.type.columns), size(scratch.type.rows)},
                    {1, pitch(scratch.type)}};
        }
        const Node &node = program_.nodes[static_cast<size_t>(buffer.index)];
        bool store = buffer.kind == RegionBuffer::Kind::Store;
        auto index = static_cast<size_t>(kernel::param_of(node));
        const Param &param = program_.params[index];
        const TileType &window = program_.type(store ? node.operands[0] : node.results[0]);
        size_t first = kernel::first_offset(node.op);
        Expr row = window_offset(node, first);
        Expr column = window_offset(node, first + 1);
        check_window(param, window, row, column, kernel::name(node.op), checks);
        if (!store) {
            check_single(param, index, checks);
        }
        Expr row_stride = variable(Int(64), param.name + ".row_stride");
        Expr column_stride = variant_.layouts[index].unit_columns
                                 ? Halide::Internal::make_const(Int(64), 1)
                                 : variable(Int(64), param.name + ".column_stride");
        Expr host = variable(Handle(), param.name + ".host");
        if (!is_const_zero(row) || !is_const_zero(column)) {
            Expr elements = i64(row) * row_stride + i64(column) * column_stride;
            host = offset_pointer(host, elements * size_bytes(param.type.dtype));
        }
        return {
            host,
            {size(window.columns), size(window.rows)},
            {simplify(Halide::cast<int32_t>(column_stride)), Halide::cast<int32_t>(row_stride)}};
    }

    /// Whether a view of `param`, of which a dim is declared 1, has an element; undefined when
    /// every view has.
    Expr has_single(size_t param) const {
        const Param &declared = program_.params[param];
        Expr result;
        if (!variant_.layouts[param].partial) {
            return result;
        }
        auto need = [&](const Affine &dim, const char *slot) {
            if (dim == Affine(1)) {
                Expr some = variable(Int(64), declared.name + slot) >= i64(1);
                result = result.defined() ? result && some : some;
            }
        };
        need(declared.type.rows, ".slot_rows");
        need(declared.type.columns, ".slot_columns");
        return result;
    }

    /// A dim of 1 stands for every row or column, so a view without one is nothing to load.
    void check_single(const Param &param, size_t index, std::vector<Stmt> &checks) const {
        if (Expr some = has_single(index); some.defined()) {
            checks.push_back(
                fail_unless(some, fmt::format("load: the view of '{}', which is {}, is empty",
                                              param.name, param.type.shape_str())));
        }
    }

    /// `body` without its stores to the pipeline's buffer `name` when the view has no element.
    Stmt guarded_stores(const std::string &name, int node, const Stmt &body) const {
        int param = kernel::param_of(program_.nodes[static_cast<size_t>(node)]);
        Expr some = has_single(static_cast<size_t>(param));
        return some.defined() ? GuardStores(name, some).mutate(body) : body;
    }

    void check_slices(const schedule::Region &region, std::vector<Stmt> &checks) {
        for (const schedule::FuncOutline &func : outline_.funcs) {
            if (func.region != region.index || func.role != schedule::FuncRole::Pure) {
                continue;
            }
            const Node &node = program_.nodes[static_cast<size_t>(func.node)];
            if (node.op == kernel::Op::Slice) {
                Param whole;
                whole.name = outline_.names[static_cast<size_t>(func.node)];
                whole.type = program_.type(node.operands[0]);
                check_window(whole, program_.type(node.results[0]), scalar(node.operands[1]),
                             scalar(node.operands[2]), "slice", checks);
            }
        }
    }

    Expr window_offset(const Node &node, size_t operand) {
        return node.operands.size() > operand ? scalar(node.operands[operand]) : Expr(0);
    }

    /// A window at a run-time offset that leaves its parameter ends the task with an error.
    void check_window(const Param &param, const TileType &window, const Expr &row,
                      const Expr &column, const char *op, std::vector<Stmt> &checks) {
        // In 64 bits, where no sum of two sizes overflows.
        auto fits = [&](const Expr &offset, const Affine &part, const Affine &whole) {
            return offset >= 0 && i64(offset) + i64(size(part)) <= i64(size(whole));
        };
        Expr inside = simplify(fits(row, window.rows, param.type.rows) &&
                               fits(column, window.columns, param.type.columns));
        if (is_const_one(inside)) {
            return;
        }
        checks.push_back(fail_unless(inside, fmt::format("{}: a window {} leaves '{}', which is {}",
                                                         op, window.shape_str(), param.name,
                                                         param.type.shape_str())));
    }

    static Expr from_scratch(const schedule::Scratch &scratch) {
        Expr stored = Load::make(scratch_type(scratch.type.dtype), scratch.name, 0, {}, {},
                                 const_true(), ModulusRemainder());
        return scratch.type.dtype == DType::Mask ? stored != make_zero(stored.type()) : stored;
    }

    /// A scalar as an expression of the function's arguments and loop indices.
    Expr scalar(Value value) {
        const kernel::ValueInfo &info = program_.values[static_cast<size_t>(value)];
        int scratch = outline_.scratch_of[static_cast<size_t>(value)];
        if (scratch >= 0) {
            return from_scratch(outline_.scratch[static_cast<size_t>(scratch)]);
        }
        if (info.param >= 0) {
            return variable(inner_type(info.type.dtype),
                            program_.params[static_cast<size_t>(info.param)].name + ".scalar");
        }
        if (info.node < 0) {
            return variable(Int(32), index_name(value));
        }
        const Node &node = program_.nodes[static_cast<size_t>(info.node)];
        Symbols symbols;
        std::map<std::string, Halide::Func> funcs;
        Definition definition{node, info.type, {}, {}, symbols, "scalar", funcs, {}};
        std::map<std::string, Expr> operands;
        for (Value operand : node.operands) {
            TileFunc tile;
            tile.func = Halide::Func("operand" + std::to_string(operands.size()));
            tile.func(definition.column, definition.row) =
                make_zero(inner_type(program_.type(operand).dtype));
            operands[tile.func.name()] = scalar(operand);
            definition.operands.push_back(tile);
            definition.operand_types.push_back(program_.type(operand));
        }
        define(definition);
        return simplify(ReplaceCalls(operands).mutate(definition.result.func.value()));
    }

    static std::string index_name(Value value) {
        return "value" + std::to_string(value) + ".index";
    }

    Stmt loop(const schedule::CarriedLoop &loop) {
        const Node &node = program_.nodes[static_cast<size_t>(loop.node)];
        const kernel::Block &block = program_.blocks[static_cast<size_t>(node.block)];
        Expr low = scalar(node.operands[0]);
        Expr high = scalar(node.operands[1]);
        std::string index = index_name(block.arguments[0]);
        Stmt body = Block::make(statements(loop.body), settle(null_pointer()));
        if (std::string symbol = kernel::loop_symbol(node); !symbol.empty()) {
            body = LetStmt::make(symbol, variable(Int(32), index), body);
        }
        Expr odd = ((variable(Int(32), index) - low) & 1) == 1;
        for (const schedule::Carry &carry : loop.carries) {
            body = LetStmt::make(name(carry.next), choose(odd, carry.first, carry.second), body);
            body = LetStmt::make(name(carry.current), choose(odd, carry.second, carry.first), body);
        }
        return For::make(index, low, Halide::max(high - low, 0), ForType::Serial,
                         Halide::Partition::Auto, Halide::DeviceAPI::None, body);
    }

    /// After the loop its results are the buffers that the last iteration wrote.
    Stmt with_results(const schedule::CarriedLoop &loop, Stmt rest) {
        const Node &node = program_.nodes[static_cast<size_t>(loop.node)];
        Expr trips = Halide::max(scalar(node.operands[1]) - scalar(node.operands[0]), 0);
        for (const schedule::Carry &carry : loop.carries) {
            rest = LetStmt::make(name(carry.result),
                                 choose((trips & 1) == 1, carry.second, carry.first), rest);
        }
        return rest;
    }

    const std::string &name(int scratch) const {
        return outline_.scratch[static_cast<size_t>(scratch)].name;
    }

    Expr choose(const Expr &condition, int yes, int no) const {
        return select(condition, variable(Handle(), name(yes)), variable(Handle(), name(no)));
    }

    Expr size(const Affine &affine) const {
        Expr sum = static_cast<int32_t>(affine.constant());
        for (const auto &[name, coefficient] : affine.terms()) {
            sum = sum + variable(Int(32), name) * static_cast<int32_t>(coefficient);
        }
        return simplify(sum);
    }

    /// Elements from row to row of a scratch tile: whole vectors.
    Expr pitch(const TileType &type) const { return simplify((size(type.columns) + 15) / 16 * 16); }

    Stmt allocate(const schedule::Scratch &scratch, const Stmt &body) const {
        return Allocate::make(
            scratch.name, scratch_type(scratch.type.dtype), Halide::MemoryType::Heap,
            {pitch(scratch.type), Halide::max(size(scratch.type.rows), 1)}, const_true(),
            Block::make(settle(variable(Handle(), scratch.name)), body));
    }

    /// Gives each Symbol its value: the first parameter that has it as a dim knows it.
    Stmt bind_symbols(Stmt body) const {
        for (const std::string &symbol : program_.symbols()) {
            Expr value = symbol_value(symbol);
            body = LetStmt::make(symbol, Halide::cast<int32_t>(value), body);
        }
        return body;
    }

    Expr symbol_value(const std::string &symbol) const {
        for (const Param &param : program_.params) {
            if (symbol == kernel::valid_rows_symbol(param)) {
                return variable(Int(64), param.name + ".slot_rows");
            }
            if (symbol == kernel::valid_columns_symbol(param)) {
                return variable(Int(64), param.name + ".slot_columns");
            }
        }
        for (const Param &param : program_.params) {
            if (param.type.rows == Affine::variable(symbol)) {
                return variable(Int(64), param.name + ".slot_rows");
            }
            if (param.type.columns == Affine::variable(symbol)) {
                return variable(Int(64), param.name + ".slot_columns");
            }
        }
        throw CompileError(program_.at,
                           fmt::format("symbol '{}' is no parameter's whole dim, so its value "
                                       "cannot be known at run time",
                                       symbol));
    }

    const KernelVariant &variant_;
    const kernel::TileProgram &program_;
    const schedule::Outline &outline_;
    Halide::Target target_;
};

}  // namespace

Stmt copy_first(const Param &param, const Stmt &body) {
    std::string copy = param.name + ".copy";
    auto slot = [&](const char *name) { return variable(Int(64), param.name + name); };
    Expr call = Call::make(Int(32), "pto_wsp_copy_tile",
                           {variable(Handle(), copy), variable(Handle(), param.name + ".host"),
                            slot(".slot_rows"), slot(".slot_columns"), slot(".row_stride"),
                            slot(".column_stride"), i64(size_bytes(param.type.dtype))},
                           Call::Extern);
    Stmt inside = LetStmt::make(param.name + ".row_stride", slot(".slot_columns"), body);
    inside = LetStmt::make(param.name + ".column_stride", i64(1), inside);
    inside = LetStmt::make(param.name + ".host", variable(Handle(), copy), inside);
    inside = Block::make(Evaluate::make(call), inside);
    Expr elements =
        Halide::cast<int32_t>(Halide::max(slot(".slot_rows") * slot(".slot_columns"), i64(1)));
    return Allocate::make(copy, memory_type(param.type.dtype), Halide::MemoryType::Heap, {elements},
                          const_true(), inside);
}

Stmt fail_unless(const Expr &holds, const std::string &text) {
    // Halide itself adds the user context in front.
    Expr error = Call::make(Int(32), "halide_error", {StringImm::make(text)}, Call::Extern);
    return IfThenElse::make(!holds, Evaluate::make(error));
}

Halide::Target code_target(const Target &target, bool wide) {
    Halide::Target result(target.text);
    for (Halide::Target::Feature feature :
         {Halide::Target::NoRuntime, Halide::Target::NoAsserts, Halide::Target::NoBoundsQuery}) {
        result.set_feature(feature);
    }
    result.set_feature(Halide::Target::LargeBuffers, wide);
    return result;
}

std::vector<LoweredArgument> kernel_arguments(const kernel::TileProgram &program) {
    std::vector<LoweredArgument> arguments;
    auto add = [&](const std::string &name, Type type) {
        arguments.emplace_back(name, Halide::Argument::InputScalar, type, 0,
                               Halide::ArgumentEstimates{});
    };
    for (const Param &param : program.params) {
        if (param.kind == Param::Kind::Scalar) {
            add(param.name + ".scalar", inner_type(param.type.dtype));
            continue;
        }
        for (const char *slot : tile_slot_names) {
            add(param.name + slot, slot == tile_slot_names[0] ? Handle() : Int(64));
        }
    }
    return arguments;
}

std::vector<Expr> slot_words(const kernel::TileProgram &program) {
    std::vector<Expr> words;
    for (const LoweredArgument &argument : kernel_arguments(program)) {
        Expr value = variable(argument.type, argument.name);
        if (argument.type.is_float()) {
            value = reinterpret(argument.type.with_code(Type::UInt), value);
        }
        words.push_back(argument.type.is_handle() ? reinterpret(Int(64), value) : i64(value));
    }
    return words;
}

LoweredFunc packed_wrapper(const kernel::TileProgram &program, const std::string &symbol) {
    std::vector<Expr> arguments;
    for (const LoweredArgument &argument : kernel_arguments(program)) {
        Expr slot = Load::make(Int(64), "slots", static_cast<int>(arguments.size()), {}, {},
                               const_true(), ModulusRemainder());
        if (argument.type.is_handle()) {
            slot = reinterpret(Handle(), slot);
        } else {
            slot = from_word(argument.type, slot);
        }
        arguments.push_back(slot);
    }
    Expr call = Call::make(Int(32), symbol, arguments, Call::Extern);
    LoweredArgument slots("slots", Halide::Argument::InputScalar, Handle(), 0,
                          Halide::ArgumentEstimates{});
    return LoweredFunc(symbol + ".packed", std::vector<LoweredArgument>{slots},
                       Evaluate::make(call), Halide::LinkageType::External);
}

Stmt kernel_statement(const KernelVariant &variant, const schedule::Outline &outline,
                      const Target &target) {
    return StatementBuilder(variant, outline, target).build();
}

}  // namespace pto::wsp::lower
