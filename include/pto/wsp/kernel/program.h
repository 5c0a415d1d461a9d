#pragma once

#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "pto/wsp/kernel/op.h"
#include "pto/wsp/kernel/type.h"
#include "pto/wsp/support/hash.h"

namespace pto::wsp::kernel {

/// Index of a value in its program. Values are numbered in creation order across all blocks.
using Value = int32_t;

/// One operation. Pure operations are interned: within a block and its ancestors the same operation
/// on the same operands with the same attributes is one node. `load` is interned only while no
/// `store` to its parameter lies between.
struct Node {
    Op op;
    std::vector<Value> operands;
    Attributes attributes;
    /// One; none for what has an effect (stores, `print`); one per carry for `fori_loop`.
    std::vector<Value> results;
    int block = -1;  ///< of `fori_loop`: its body, an index into `TileProgram::blocks`
    Loc at;
};

/// Index of the tile parameter of a `load` or a store.
int param_of(const Node &node);
/// Index of the first offset among the operands of a `load`, a store or a `slice`.
size_t first_offset(Op op);
/// Whether a `load` or a store is of a window at an offset.
bool is_window(const Node &node);
/// Before the type in what a `print` writes: `label (file.py:41)`.
std::string print_title(const Node &node);
/// The Symbol by which dims in the body of a `fori_loop` name its index; empty when there is none.
std::string loop_symbol(const Node &node);
/// Whether the attribute `name` is set and true.
bool has_flag(const Attributes &attributes, const char *name);
/// Whether `node` is an extreme of floats whose result is NaN when one of them is. It takes a
/// second look, as no maximum of vectors propagates NaN.
bool looks_for_nan(const Node &node, DType dtype);
/// Whether `node` is a product of floats that passes over terms of 0 and so takes a second look at
/// rows that are not finite. 0 times an integer is 0 anyway.
bool skips_zeros(const Node &node, DType dtype);

/// A value: a node's result, a block argument, or a scalar parameter.
struct ValueInfo {
    TileType type;
    int node = -1;   ///< the node that makes it; -1 for arguments and scalar parameters
    int param = -1;  ///< of a scalar parameter: index into `TileProgram::params`
    Loc at;
};

/// A straight line of nodes in program order. The root block is number 0. The body of a
/// `fori_loop` has the arguments (index: scalar i32, carried tiles...) and yields the next carries.
struct Block {
    std::vector<Value> arguments;
    std::vector<int> nodes;  ///< indices into `TileProgram::nodes`
    std::vector<Value> yields;
};

class CustomBody;

/// How a kernel was written, where its nodes alone do not say it; for the cycle model (cycles.h).
/// Indices of nodes.
struct Writing {
    std::set<int> operand_loads;  ///< loads of parameters that were given as operands
    std::set<int> implied;        ///< nodes that no primitive was written for
};

/// A kernel as an algorithm on whole tiles. Effects are in program order: `load` reads a window of
/// a tile parameter, `store` writes one.
///
/// ```
/// kernel @scale(%x: in tile<32x64xf32>, %k: scalar<f32>, %y: out tile<32x64xf32>) {
///   %0 = load %x : tile<32x64xf32>
///   %1 = mul %0, %k : tile<32x64xf32>
///   store %y, %1
/// }
/// ```
///
/// `load` and `store` name their tile parameter by the attribute `param` (an int64 index), which
/// prints as `%x`. A window has a row and a column offset as last operands (scalars of i32), and a
/// `load` of one the attributes `rows`, `columns` (Affine). A window must lie in its parameter.
struct TileProgram {
    std::string name;
    std::vector<Param> params;
    std::vector<Node> nodes;
    std::vector<ValueInfo> values;
    std::vector<Block> blocks;
    Loc at;
    /// Not null: what the kernel does, and there are no nodes. See custom.h.
    std::shared_ptr<const CustomBody> custom;
    /// Not part of the text: in a program that was read, all is written as it stands.
    Writing writing;

    const TileType &type(Value value) const { return values[static_cast<size_t>(value)].type; }
    /// Index of the parameter called `name`, or -1.
    int param_index(std::string_view name) const;
    /// The Symbols that its dims use, sorted; those of loops are not among them.
    std::vector<std::string> symbols() const;

    /// Text that `parse_tile_program` reads back to a program with the same hash. Locations are not
    /// part of the text. A custom body is shown but cannot be read back.
    std::string str() const;
    /// Hash of `str()` with values renumbered in program order and without the kernel's name.
    Hash128 hash() const;
};

/// Reads what `str()` prints; IRConversionError with the line otherwise. The result is verified.
std::shared_ptr<const TileProgram> parse_tile_program(std::string_view text,
                                                      const std::string &origin = "tile program");

/// Throws the first TypeCheckError: arity, types against the table, use before definition,
/// directions (no load of an Out parameter that was not stored, no store to an In), yields.
void verify(const TileProgram &program);

}  // namespace pto::wsp::kernel
