#include "region_funcs.h"

#include <algorithm>

#include "math.h"
#include "pto/wsp/support/error.h"

namespace pto::wsp::lower {

using Halide::Expr;
using kernel::Node;
using kernel::TileType;
using kernel::Value;
using schedule::FuncOutline;
using schedule::FuncRole;

namespace {

class RegionBuilder {
public:
    RegionBuilder(const KernelVariant &variant, const schedule::Outline &outline,
                  const schedule::Region &region)
        : variant_(variant), program_(*variant.program), outline_(outline), region_(region) {}

    RegionFuncs build() {
        for (const FuncOutline &func : outline_.funcs) {
            if (func.region != region_.index || func.part) {
                continue;
            }
            switch (func.role) {
            case FuncRole::Load:
                tiles_[result_of(func.node)] = load(func);
                break;
            case FuncRole::Store:
                root(func, program_.nodes[static_cast<size_t>(func.node)].operands[0],
                     {RegionBuffer::Kind::Store, func.node});
                break;
            case FuncRole::Copy:
                copy(func);
                break;
            case FuncRole::Pure:
            case FuncRole::Reduction:
            case FuncRole::Product:
                tiles_[result_of(func.node)] = operation(func);
                break;
            case FuncRole::Operand:
            case FuncRole::Sum:
            case FuncRole::Probe:
                throw InternalError("lower", func.name + " is not the Func of its node");
            }
        }
        return std::move(result_);
    }

private:
    Value result_of(int node) const { return program_.nodes[static_cast<size_t>(node)].results[0]; }

    /// Reads `image` with the indices clamped to [0, rows) x [0, columns).
    Expr clamped(Halide::ImageParam &image, const TileType &type) {
        Expr c = Halide::clamp(Halide::likely(column_), 0, symbols_(type.columns) - 1);
        Expr r = Halide::clamp(Halide::likely(row_), 0, symbols_(type.rows) - 1);
        return image(c, r);
    }

    TileFunc load(const FuncOutline &outline) {
        const Node &node = program_.nodes[static_cast<size_t>(outline.node)];
        const TileType &type = program_.type(node.results[0]);
        Halide::ImageParam image(memory_type(type.dtype), 2, halide_name(outline.name + ".image"));
        auto param = static_cast<size_t>(kernel::param_of(node));
        if (!variant_.layouts[param].unit_columns) {
            image.dim(0).set_stride(Expr());
        }
        result_.buffers[image.name()] = {RegionBuffer::Kind::Load, outline.node};
        TileFunc tile;
        tile.func = Halide::Func(halide_name(outline.name));
        tile.func(column_, row_) = from_memory(type.dtype, clamped(image, type));
        result_.funcs[outline.name] = tile.func;
        return with_shape(tile, type);
    }

    /// What memory holds where a store under a mask writes. It is read where it is written, each
    /// element before, so that any order of the elements gives the same; written twice, an element
    /// that the mask hides is itself again.
    Expr held(const FuncOutline &store, const TileType &type, size_t param) {
        DType dtype = program_.params[param].type.dtype;
        Halide::ImageParam image(memory_type(dtype), 2, halide_name(store.name + ".held"));
        if (!variant_.layouts[param].unit_columns) {
            image.dim(0).set_stride(Expr());
        }
        result_.buffers[image.name()] = {RegionBuffer::Kind::Store, store.node};
        return clamped(image, type);
    }

    TileFunc from_scratch(int scratch) {
        auto it = scratch_readers_.find(scratch);
        if (it != scratch_readers_.end()) {
            return it->second;
        }
        const schedule::Scratch &memory = outline_.scratch[static_cast<size_t>(scratch)];
        TileType inner = memory.type;
        Halide::ImageParam image(scratch_type(inner.dtype), 2, halide_name(memory.name + ".image"));
        image.set_host_alignment(64);
        result_.buffers[image.name()] = {RegionBuffer::Kind::Scratch, scratch};
        Halide::Func func(halide_name(memory.name));
        Expr stored = clamped(image, inner);
        func(column_, row_) = inner.dtype == DType::Mask ? stored != 0 : stored;
        TileFunc tile;
        tile.func = func;
        return scratch_readers_[scratch] = with_shape(tile, inner);
    }

    static TileFunc with_shape(TileFunc tile, const TileType &type) {
        tile.one_row = type.rows == Affine(1);
        tile.one_column = type.columns == Affine(1);
        return tile;
    }

    /// The tile of `value` in this region: made here, a scalar, or from scratch memory.
    TileFunc tile(Value value) {
        auto it = tiles_.find(value);
        if (it != tiles_.end()) {
            return it->second;
        }
        int scratch = outline_.scratch_of[static_cast<size_t>(value)];
        if (scratch >= 0) {
            return from_scratch(scratch);
        }
        return tiles_[value] = scalar(value);
    }

    /// A scalar parameter or a loop's index.
    TileFunc scalar(Value value) {
        const kernel::ValueInfo &info = program_.values[static_cast<size_t>(value)];
        std::string name = info.param >= 0
                               ? program_.params[static_cast<size_t>(info.param)].name + ".scalar"
                               : "value" + std::to_string(value) + ".index";
        Halide::Func func(halide_name(name + ".tile"));
        Halide::Type type = inner_type(info.type.dtype);
        func(column_, row_) = symbols_.variable(name, type);
        TileFunc tile;
        tile.func = func;
        tile.one_row = tile.one_column = true;
        return tile;
    }

    TileFunc operation(const FuncOutline &outline) {
        const Node &node = program_.nodes[static_cast<size_t>(outline.node)];
        std::string name = outline.name;
        Definition definition{
            node, program_.type(node.results[0]), {}, {}, symbols_, name, result_.funcs, {}};
        for (Value operand : node.operands) {
            definition.operand_types.push_back(program_.type(operand));
            definition.operands.push_back(tile(operand));
        }
        define(definition);
        return definition.result;
    }

    void root(const FuncOutline &outline, Value value, RegionBuffer buffer) {
        const TileType &type = program_.type(value);
        Halide::Func func(halide_name(outline.name));
        func(column_, row_) = to_memory(type.dtype, tile(value).at(row_, column_));
        if (buffer.kind == RegionBuffer::Kind::Store) {
            const Node &node = program_.nodes[static_cast<size_t>(buffer.index)];
            auto param = static_cast<size_t>(kernel::param_of(node));
            DType dtype = program_.params[param].type.dtype;
            func = Halide::Func(halide_name(outline.name));
            Expr stored =
                to_memory(dtype, converted(type.dtype, dtype, tile(value).at(row_, column_)));
            func(column_, row_) = node.op == kernel::Op::StoreMasked
                                      ? choose(tile(node.operands[1]).at(row_, column_), stored,
                                               held(outline, type, param))
                                      : stored;
            if (!variant_.layouts[param].unit_columns) {
                func.output_buffer().dim(0).set_stride(Expr());
            }
        }
        finish_root(outline.name, func, type, buffer);
    }

    void copy(const FuncOutline &outline) {
        auto it = std::find_if(region_.outputs.begin(), region_.outputs.end(),
                               [&](const auto &output) { return output.name == outline.name; });
        const TileType &type = program_.type(it->value);
        Halide::Func func(halide_name(outline.name));
        Expr value = tile(it->value).at(row_, column_);
        func(column_, row_) = type.dtype == DType::Mask ? Halide::cast<uint8_t>(value) : value;
        func.output_buffer().set_host_alignment(64);
        finish_root(outline.name, func, type, {RegionBuffer::Kind::Scratch, it->scratch});
    }

    void finish_root(const std::string &name, Halide::Func &func, const TileType &type,
                     RegionBuffer buffer) {
        func.output_buffer().dim(0).set_bounds(0, symbols_(type.columns));
        func.output_buffer().dim(1).set_bounds(0, symbols_(type.rows));
        result_.buffers[func.name()] = buffer;
        result_.funcs[name] = func;
        result_.roots.push_back(func);
    }

    const KernelVariant &variant_;
    const kernel::TileProgram &program_;
    const schedule::Outline &outline_;
    const schedule::Region &region_;
    RegionFuncs result_;
    Symbols symbols_;
    std::map<Value, TileFunc> tiles_;
    std::map<int, TileFunc> scratch_readers_;
    Halide::Var row_{"rows"};
    Halide::Var column_{"columns"};
};

}  // namespace

RegionFuncs build_region(const KernelVariant &variant, const schedule::Outline &outline,
                         const schedule::Region &region) {
    return RegionBuilder(variant, outline, region).build();
}

}  // namespace pto::wsp::lower
