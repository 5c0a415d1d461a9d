#include "pto/wsp/schedule/heuristic.h"

#include <algorithm>
#include <map>
#include <set>

namespace pto::wsp::schedule {

using kernel::Op;

namespace {

/// Largest block of rows whose tiles still share the second-level cache.
constexpr int64_t largest_block = 64;
/// Rows of the reduction past which a right operand is packed even when its rows are vectors.
constexpr int64_t unpacked_depth = 512;

class Heuristic {
public:
    Heuristic(const kernel::TileProgram &program, const Outline &outline, const Machine &machine,
              const BlockSizes &blocks)
        : program_(program), outline_(outline), machine_(machine), blocks_(blocks) {}

    KernelSchedule run() {
        for (const FuncOutline &func : outline_.funcs) {
            for (const std::string &read : func.reads) {
                readers_[read].push_back(&func);
            }
        }
        for (const FuncOutline &func : outline_.funcs) {
            if (func.is_root()) {
                nest(func);
            }
        }
        return schedule_;
    }

private:
    using Funcs = std::vector<const FuncOutline *>;

    const FuncOutline &get(const std::string &name) const { return *outline_.find(name); }

    const kernel::Node &node(const FuncOutline &func) const {
        return program_.nodes[static_cast<size_t>(func.node)];
    }

    bool flag(const FuncOutline &func, const char *name) const {
        return kernel::has_flag(node(func).attributes, name);
    }

    static int64_t size(const Affine &affine, int64_t unknown) {
        return affine.as_constant().value_or(unknown);
    }

    /// Whether row r of `reader` needs row r of `read` only.
    bool aligned(const FuncOutline &reader, const FuncOutline &read) const {
        if (!(reader.rows == read.rows) || read.role == FuncRole::Operand) {
            return false;
        }
        switch (reader.role) {
        case FuncRole::Pure:
            return kernel::info(node(reader).op).kind != kernel::OpKind::Shape ||
                   node(reader).op == Op::Broadcast;
        case FuncRole::Sum:
            return !flag(reader, "trans_a");
        case FuncRole::Reduction:
            return node(reader).op != Op::Matmul || read.node == reader.node ||
                   !flag(reader, "trans_a");
        case FuncRole::Operand:
            return false;
        default:
            return true;
        }
    }

    /// Funcs below `top` that can be computed for a block of its rows, consumers first.
    Funcs block_funcs(const FuncOutline &top) const {
        Funcs found;
        std::vector<const FuncOutline *> open{&top};
        while (!open.empty()) {
            const FuncOutline *reader = open.back();
            open.pop_back();
            for (const std::string &name : reader->reads) {
                const FuncOutline &read = get(name);
                if (aligned(*reader, read) &&
                    std::find(found.begin(), found.end(), &read) == found.end()) {
                    found.push_back(&read);
                    open.push_back(&read);
                }
            }
        }
        // One that is also read from outside of the block is computed once for all.
        for (bool changed = true; changed;) {
            changed = false;
            for (size_t i = 0; i < found.size(); ++i) {
                for (const FuncOutline *reader : readers_.at(found[i]->name)) {
                    bool inside = reader == &top ||
                                  std::find(found.begin(), found.end(), reader) != found.end();
                    if (!inside || !aligned(*reader, *found[i])) {
                        found.erase(found.begin() + static_cast<std::ptrdiff_t>(i));
                        changed = true;
                        --i;
                        break;
                    }
                }
            }
        }
        return found;
    }

    size_t reader_count(const FuncOutline &func) const {
        auto it = readers_.find(func.name);
        return it == readers_.end() ? 0 : it->second.size();
    }

    /// Whether a pure Func is worth memory: read several times, or once for each register tile.
    bool worth_memory(const FuncOutline &func) const {
        if (func.role != FuncRole::Pure || func.rows == Affine(1) || func.columns == Affine(1)) {
            return false;
        }
        const Funcs &readers = readers_.at(func.name);
        return readers.size() > 1 ||
               std::any_of(readers.begin(), readers.end(),
                           [](const FuncOutline *reader) { return reader->role == FuncRole::Sum; });
    }

    /// Schedules the loops of `top`, which is a root or computed at the root, and all below it.
    void nest(const FuncOutline &top) {
        Funcs block = block_funcs(top);
        auto in_block = [&](const FuncOutline &func) {
            return std::find(block.begin(), block.end(), &func) != block.end();
        };
        bool matrix = top.role == FuncRole::Product ||
                      std::any_of(block.begin(), block.end(), [](const FuncOutline *func) {
                          return func->role == FuncRole::Product;
                      });
        if (matrix) {
            matrix_nest(top, block);
        } else {
            row_nest(top, block);
        }
        // What stands outside of the block is computed at the root, with loops of its own.
        Funcs here = block;
        here.insert(here.begin(), &top);
        for (const FuncOutline *reader : here) {
            for (const std::string &name : reader->reads) {
                const FuncOutline &read = get(name);
                if (!in_block(read)) {
                    outside(read);
                }
            }
        }
    }

    void outside(const FuncOutline &func) {
        if (!at_root_.insert(func.name).second || func.role == FuncRole::Load) {
            return;
        }
        if (func.role == FuncRole::Operand) {
            operand(func);
            return;
        }
        bool cheap = func.rows == Affine(1) && func.columns == Affine(1);
        bool inlined =
            func.role == FuncRole::Pure && (reader_count(func) == 1 || cheap || is_leaf(func));
        if (inlined) {
            for (const std::string &name : func.reads) {
                outside(get(name));
            }
            return;
        }
        schedule_ = schedule_.compute_root(func.name);
        nest(func);
    }

    bool is_leaf(const FuncOutline &func) const {
        return kernel::info(node(func).op).kind == kernel::OpKind::Leaf;
    }

    /// What `func` reads first, through windows; null for scratch memory.
    const FuncOutline *source(const FuncOutline &func) const {
        for (const FuncOutline *from = &func;;) {
            bool window = from->role == FuncRole::Pure && node(*from).op == Op::Slice;
            if (from->reads.empty() || (window && !reads_memory(*from))) {
                return nullptr;
            }
            from = &get(from->reads[0]);
            if (from->role != FuncRole::Pure || node(*from).op != Op::Slice) {
                return from;
            }
        }
    }

    /// Whether the first operand of a window is a Func: a value in scratch memory is none.
    bool reads_memory(const FuncOutline &window) const {
        return !window.reads.empty() &&
               get(window.reads[0]).node ==
                   program_.values[static_cast<size_t>(node(window).operands[0])].node;
    }

    /// The right operand of a product: packed, unless its rows are vectors already.
    void operand(const FuncOutline &func) {
        const FuncOutline *from = source(func);
        bool in_memory = from == nullptr || from->role == FuncRole::Load;
        int64_t columns = size(func.columns, 0);
        bool plain = in_memory && !flag(func, "trans_b") && !flag(func, "pairs") && columns > 0 &&
                     columns % strip(columns) == 0 &&
                     (size(func.rows, 0) <= unpacked_depth || is_read_once(func));
        if (!plain && columns != 1) {
            schedule_ = schedule_.compute_root(func.name);
            panels(func);
        }
        for (const std::string &name : func.reads) {
            outside(get(name));
        }
    }

    /// Whether each element of a right operand meets one row only: packing would read it once more.
    bool is_read_once(const FuncOutline &operand) const {
        const Funcs &readers = readers_.at(operand.name);
        return std::all_of(readers.begin(), readers.end(),
                           [](const FuncOutline *reader) { return reader->rows == Affine(1); });
    }

    /// Columns of a register tile: as many vectors as there are registers for, or one less where
    /// those divide the columns.
    int64_t strip(int64_t columns) const {
        int64_t wide = machine_.registers >= 32 ? 4 : 2;
        int64_t needed = (columns + machine_.lanes - 1) / machine_.lanes;
        int64_t vectors = std::clamp<int64_t>(needed, 1, wide);
        if (vectors == 4 && needed % 4 != 0 && needed % 3 == 0) {
            vectors = 3;
        }
        if (blocks_.n > 0) {
            vectors = std::clamp<int64_t>(blocks_.n / machine_.lanes, 1, machine_.registers / 3);
        }
        return vectors * machine_.lanes;
    }

    /// Rows of a register tile: accumulators, one row of the right operand and a broadcast fit.
    int64_t tile_rows(int64_t rows, int64_t columns) const {
        int64_t vectors = strip(columns) / machine_.lanes;
        int64_t most = (machine_.registers - vectors - 1) / vectors;
        int64_t fit = std::clamp<int64_t>(most, 1, 8);
        // A tile that divides the block wastes no row.
        for (int64_t tile = fit; tile > fit / 2; --tile) {
            if (rows % tile == 0) {
                return tile;
            }
        }
        return std::min(fit, rows);
    }

    int64_t block_rows(const FuncOutline &top, const Funcs &block) const {
        if (blocks_.m > 0) {
            return std::min(blocks_.m, size(top.rows, blocks_.m));
        }
        int64_t row_bytes = 0;
        for (const FuncOutline *func : block) {
            if (func->role == FuncRole::Product || worth_memory(*func)) {
                row_bytes += 4 * size(func->columns, 512);
            }
        }
        int64_t rows = largest_block;
        while (rows > 8 && rows * row_bytes > machine_.l2_bytes / 2) {
            rows /= 2;
        }
        return std::min(rows, size(top.rows, rows));
    }

    /// Rows in blocks; products in register tiles inside a block.
    void matrix_nest(const FuncOutline &top, const Funcs &block) {
        if (top.role == FuncRole::Product) {
            product_loops(top, size(top.rows, largest_block));
            place(top, block, "");
            return;
        }
        int64_t rows = block_rows(top, block);
        const FuncOutline *fused = fused_product(top, block, rows);
        schedule_ = schedule_.split(top.name, "rows", rows, "block", "row");
        int64_t columns = size(top.columns, 0);
        if (fused != nullptr) {
            int64_t tile = tile_rows(rows, columns);
            schedule_ = schedule_.split(top.name, "row", tile, "tile", "row.t")
                            .split(top.name, "columns", strip(columns), "strip", "column")
                            .reorder(top.name, {"block", "tile", "strip", "row.t", "column"})
                            .vectorize(top.name, "column", machine_.lanes)
                            .unroll(top.name, "column")
                            .unroll(top.name, "row.t");
        } else {
            vector_columns(top);
        }
        place(top, block, "block", fused);
    }

    /// The product whose register tiles can be those of `top` itself: read by elementwise Funcs
    /// only, once, and of sizes that the tiles divide.
    const FuncOutline *fused_product(const FuncOutline &top, const Funcs &block,
                                     int64_t rows) const {
        const FuncOutline *func = &top;
        for (;;) {
            const FuncOutline *next = nullptr;
            for (const std::string &name : func->reads) {
                const FuncOutline &read = get(name);
                bool tile = read.role == FuncRole::Product ||
                            (read.role == FuncRole::Pure && !worth_memory(read) &&
                             !(read.columns == Affine(1)));
                if (tile && std::find(block.begin(), block.end(), &read) != block.end()) {
                    if (next != nullptr) {
                        return nullptr;
                    }
                    next = &read;
                }
            }
            if (next == nullptr || reader_count(*next) != 1 || !(next->columns == top.columns)) {
                return nullptr;
            }
            if (next->role == FuncRole::Product) {
                break;
            }
            func = next;
        }
        int64_t columns = size(top.columns, 0);
        int64_t all_rows = size(top.rows, 0);
        bool divides = columns > 0 && all_rows > 0 && columns % strip(columns) == 0 &&
                       all_rows % rows == 0 && rows % tile_rows(rows, columns) == 0;
        return divides ? &get(product_of(*func)) : nullptr;
    }

    std::string product_of(const FuncOutline &reader) const {
        for (const std::string &name : reader.reads) {
            if (get(name).role == FuncRole::Product) {
                return name;
            }
        }
        return "";
    }

    /// Where the Funcs of a block go: at loop `dim` of `top`, or at the root when `dim` is empty.
    void place(const FuncOutline &top, const Funcs &block, const std::string &dim,
               const FuncOutline *fused = nullptr) {
        auto at = [&](const FuncOutline &func) {
            schedule_ = dim.empty() ? schedule_.compute_root(func.name)
                                    : schedule_.compute_at(func.name, top.name, dim);
        };
        for (const FuncOutline *func : block) {
            switch (func->role) {
            case FuncRole::Product:
                if (func != fused) {
                    at(*func);
                    product_loops(*func, size(top.rows, largest_block));
                }
                break;
            case FuncRole::Sum: {
                const FuncOutline &product = *readers_.at(func->name)[0];
                bool direct = &product == fused;
                schedule_ = schedule_.compute_at(func->name, direct ? top.name : product.name,
                                                 direct ? "strip" : "tile");
                sum_loops(*func);
                break;
            }
            case FuncRole::Reduction:
            case FuncRole::Probe:
                at(*func);
                reduction_loops(*func);
                break;
            case FuncRole::Pure:
                if (worth_memory(*func)) {
                    at(*func);
                    vector_columns(*func);
                }
                break;
            default:
                break;
            }
        }
    }

    void product_loops(const FuncOutline &func, int64_t rows) {
        int64_t columns = size(func.columns, int64_t{4} * machine_.lanes);
        schedule_ = schedule_
                        .split(func.name, "columns", strip(columns), "strip", "column",
                               func.is_root() ? Tail::GuardWithIf : Tail::Auto)
                        .split(func.name, "rows", tile_rows(rows, columns), "tile", "row")
                        .reorder(func.name, {"strip", "tile", "row", "column"})
                        .vectorize(func.name, "column", machine_.lanes)
                        .unroll(func.name, "column")
                        .unroll(func.name, "row");
    }

    void sum_loops(const FuncOutline &func) {
        schedule_ = schedule_.reorder(func.name, {"k", "rows", "columns"})
                        .vectorize(func.name, "columns", machine_.lanes)
                        .unroll(func.name, "columns")
                        .unroll(func.name, "rows");
    }

    /// Partial results in four vectors, then one reduction over their lanes.
    void reduction_loops(const FuncOutline &func) {
        kernel::OpKind kind = kernel::info(node(func).op).kind;
        bool probes_product = func.role == FuncRole::Probe && kind == kernel::OpKind::Matrix;
        if (kind != kernel::OpKind::Reduction && !probes_product) {
            // Many results at once: vectors along the row, of which each takes part in every step.
            if (func.has_reduction() && size(func.columns, machine_.lanes) >= machine_.lanes) {
                schedule_ = schedule_.reorder(func.name, {"rows", "k", "columns"})
                                .vectorize(func.name, "columns", machine_.lanes);
            }
            return;
        }
        int64_t width = int64_t{4} * machine_.lanes;
        if (size(func.reduction, width) < width) {
            return;
        }
        std::string partial = func.name + ".partial";
        schedule_ = schedule_.rfactor(func.name, "k", width)
                        .compute_at(partial, func.name, "rows")
                        .reorder(partial, {"rows", "columns", "k.o", "lane"})
                        .vectorize(partial, "lane", machine_.lanes)
                        .unroll(partial, "lane")
                        .vectorize(func.name, "k.i");
    }

    DType dtype(const FuncOutline &func) const {
        if (func.role == FuncRole::Store) {
            return program_.params[static_cast<size_t>(kernel::param_of(node(func)))].type.dtype;
        }
        return program_.type(node(func).results[0]).dtype;
    }

    /// Bytes of the widest element that a row of `func` and what is computed with it hold.
    int widest_element(const FuncOutline &func) const {
        int bytes = func.node < 0 ? 4 : size_bytes(dtype(func));
        std::set<const FuncOutline *> seen{&func};
        std::vector<const FuncOutline *> open{&func};
        while (!open.empty()) {
            const FuncOutline *reader = open.back();
            open.pop_back();
            for (const std::string &name : reader->reads) {
                const FuncOutline &read = get(name);
                bool computed_here = read.role == FuncRole::Load ||
                                     (read.role == FuncRole::Pure && !worth_memory(read));
                bytes = std::max(bytes, computed_here ? size_bytes(dtype(read)) : 4);
                if (computed_here && seen.insert(&read).second) {
                    open.push_back(&read);
                }
            }
        }
        return bytes;
    }

    /// Vectors along the rows; a transpose goes by panels, so that what it gathers stays in cache.
    void vector_columns(const FuncOutline &func) {
        int64_t columns = size(func.columns, machine_.lanes);
        if (func.node >= 0 && node(func).op == Op::Transpose && columns >= machine_.lanes) {
            panels(func);
            return;
        }
        int64_t lanes = int64_t{4} * machine_.lanes / widest_element(func);
        // Two vectors at a time keep more operations in flight, where that leaves no tail.
        int64_t known = size(func.columns, 0);
        if (known > 0 && known % (2 * lanes) == 0) {
            lanes *= 2;
        }
        while (lanes > 4 && lanes > columns) {
            lanes /= 2;
        }
        if (lanes <= columns) {
            schedule_ = schedule_.vectorize(func.name, "columns", lanes);
        }
    }

    void panels(const FuncOutline &func) {
        schedule_ = schedule_.split(func.name, "columns", machine_.lanes, "panel", "column")
                        .reorder(func.name, {"panel", "rows", "column"})
                        .vectorize(func.name, "column")
                        .unroll(func.name, "rows", 4);
    }

    /// Row by row: a row's reductions and shared inputs are computed just before it.
    void row_nest(const FuncOutline &top, const Funcs &block) {
        if (top.has_reduction()) {
            reduction_loops(top);
            return;
        }
        vector_columns(top);
        place(top, block, "rows");
    }

    const kernel::TileProgram &program_;
    const Outline &outline_;
    const Machine &machine_;
    const BlockSizes &blocks_;
    std::map<std::string, Funcs> readers_;
    std::set<std::string> at_root_;
    KernelSchedule schedule_;
};

}  // namespace

KernelSchedule default_schedule(const kernel::TileProgram &program, const Outline &outline,
                                const Machine &machine, const BlockSizes &blocks) {
    return Heuristic(program, outline, machine, blocks).run();
}

}  // namespace pto::wsp::schedule
