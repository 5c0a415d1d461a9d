#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "pto/wsp/kernel/program.h"

namespace pto::wsp::schedule {

/// What a Func of a lowered kernel is, as far as a schedule needs to know.
enum class FuncRole {
    Load,       ///< a window of a parameter; computed: a copy of it
    Pure,       ///< elementwise and shape operations
    Reduction,  ///< rowsum, colsum, topk and its `<topk>.rank`...: has the reduction dim `k`
    Probe,  ///< `<rowmax>.nan`, `<matmul>.special`: whether a row has such numbers; has the dim `k`
    Operand,  ///< `<matmul>.b`: the right operand as rows of k; computed: packed
    Sum,      ///< `<matmul>.sum`: the accumulator, with the reduction dim `k`
    Product,  ///< `<matmul>`: the finished sum
    Store,    ///< `store0`: writes a parameter
    Copy,     ///< `<value>.out`, `<loop>.carry0`: writes a scratch buffer that outlives its region
};

/// One Func: a stable name, its dims outermost first, and what it reads.
struct FuncOutline {
    std::string name;
    FuncRole role = FuncRole::Pure;
    int node = -1;      ///< of the tile program; -1 for a copy of an argument
    bool part = false;  ///< made with the Func of its node, which another outline names
    int region = 0;
    Affine rows = 1;
    Affine columns = 1;
    Affine reduction = 0;            ///< extent of `k`; 0: none
    std::vector<std::string> reads;  ///< Funcs of the same region

    bool has_reduction() const { return !(reduction == Affine(0)); }
    /// `rows`, `columns` and, for a reduction, `k`.
    std::vector<std::string> dims() const;
    /// True for Funcs that write memory the region's caller sees.
    bool is_root() const { return role == FuncRole::Store || role == FuncRole::Copy; }
};

/// Memory that holds a tile between regions.
struct Scratch {
    std::string name;
    kernel::TileType type;
    bool owns_memory = true;  ///< false: a name for one of a loop's buffers
};

/// A value that a region leaves in scratch memory.
struct RegionOutput {
    kernel::Value value = -1;
    int scratch = -1;
    std::string name;  ///< of the Func that writes it
};

/// A part of a kernel with no order inside: one Halide pipeline. Stores of a region never touch
/// what it loads, unless proven harmless (`in_place`).
struct Region {
    int index = 0;
    std::vector<int> stores;  ///< store nodes, in program order
    std::vector<RegionOutput> outputs;
};

struct Statement;

/// A carried tile of a loop: two buffers take turns. `current`, `next` and `result` are scratch
/// names that mean one of them.
struct Carry {
    int first = -1;
    int second = -1;
    int current = -1;
    int next = -1;
    int result = -1;
};

/// A loop of our own around regions.
struct CarriedLoop {
    int node = -1;
    std::vector<Carry> carries;
    std::vector<Statement> body;
};

/// Prints a tile that the region before it left in scratch memory.
struct PrintStatement {
    int node = -1;
    int scratch = -1;
};

/// One step of an outline, in program order.
struct Statement {
    std::variant<Region, CarriedLoop, PrintStatement> kind;
};

/// A kernel as statements and Funcs: what lowering will build and what steps may address.
struct Outline {
    std::vector<Statement> statements;
    std::vector<Scratch> scratch;
    std::vector<FuncOutline> funcs;
    /// For each value: the scratch that holds it, or -1 (values of a body: in the body's
    /// iteration).
    std::vector<int> scratch_of;
    /// For each node: its Func's stable name (`matmul0`).
    std::vector<std::string> names;
    /// For each node: a load that must be copied where it stands, because its memory is stored to.
    std::vector<bool> copied_load;
    /// For each parameter: loaded and stored in one region, element by element.
    std::vector<bool> in_place;

    const FuncOutline *find(std::string_view name) const;
    std::vector<std::string> func_names() const;
};

/// Parameters count as distinct memory: inputs that overlap a result are copied before the first
/// statement.
Outline outline(const kernel::TileProgram &program);

}  // namespace pto::wsp::schedule
