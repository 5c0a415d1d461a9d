#include "pto/wsp/schedule/outline.h"

#include <algorithm>
#include <map>
#include <set>

#include "outline_funcs.h"
#include "pto/wsp/support/error.h"

namespace pto::wsp::schedule {

using kernel::Block;
using kernel::Node;
using kernel::Op;
using kernel::OpKind;
using kernel::TileProgram;
using kernel::Value;

std::vector<std::string> FuncOutline::dims() const {
    std::vector<std::string> result{"rows", "columns"};
    if (has_reduction()) {
        result.emplace_back("k");
    }
    return result;
}

const FuncOutline *Outline::find(std::string_view name) const {
    auto it = std::find_if(funcs.begin(), funcs.end(),
                           [&](const FuncOutline &func) { return func.name == name; });
    return it == funcs.end() ? nullptr : &*it;
}

std::vector<std::string> Outline::func_names() const {
    std::vector<std::string> names;
    for (const FuncOutline &func : funcs) {
        names.push_back(func.name);
    }
    return names;
}

namespace {

/// Splits a tile program into statements. A first walk in program order cuts regions where an
/// effect forbids to go on; a second walk backwards finds which values must outlive their region.
class Partitioner {
public:
    explicit Partitioner(const TileProgram &program) : program_(program) {
        result_.scratch_of.assign(program.values.size(), -1);
        result_.copied_load.assign(program.nodes.size(), false);
        result_.in_place.assign(program.params.size(), false);
        home_.assign(program.nodes.size(), -1);
        name_nodes();
        find_hazards();
    }

    Outline run() {
        std::vector<Shape> shapes = split(0);
        for (size_t i = shapes.size(); i-- > 0;) {
            demand(shapes[i]);
        }
        for (const Shape &shape : shapes) {
            result_.statements.push_back(statement(shape));
        }
        for (const Region &region : regions_) {
            list(region);
        }
        return std::move(result_);
    }

private:
    /// A statement while regions are still being filled in.
    struct Shape {
        int region = -1;
        CarriedLoop loop;
        PrintStatement print;
        std::vector<Shape> body;
    };

    const Node &node(int index) const { return program_.nodes[static_cast<size_t>(index)]; }

    void name_nodes() {
        std::map<std::string, int> count;
        for (const Node &each : program_.nodes) {
            std::string base = kernel::name(each.op);
            result_.names.push_back(base + std::to_string(count[base]++));
        }
    }

    void find_hazards() {
        std::set<int> stored;
        for (const Node &each : program_.nodes) {
            if (is_store(each.op)) {
                stored.insert(param_of(each));
            }
        }
        for (size_t n = 0; n < program_.nodes.size(); ++n) {
            const Node &each = program_.nodes[n];
            if (each.op == Op::Load && stored.count(param_of(each)) > 0) {
                if (is_harmless(static_cast<int>(n))) {
                    result_.in_place[static_cast<size_t>(param_of(each))] = true;
                } else {
                    result_.copied_load[n] = true;
                }
            }
        }
    }

    /// A load whose every use is elementwise, at its own shape, and ends in the one store to the
    /// same whole parameter: each element is read before it is written, in any order.
    bool is_harmless(int load) const {
        int param = param_of(node(load));
        int store = -1;
        for (size_t n = 0; n < program_.nodes.size(); ++n) {
            const Node &each = program_.nodes[n];
            if (kernel::info(each.op).kind != OpKind::Memory) {
                continue;
            }
            if (param_of(each) != param || static_cast<int>(n) == load) {
                continue;
            }
            if (each.op == Op::Load || store >= 0) {
                return false;
            }
            store = static_cast<int>(n);
        }
        if (store < 0 || program_.blocks.size() > 1 || kernel::is_window(node(load)) ||
            kernel::is_window(node(store))) {
            return false;
        }
        const kernel::TileType &shape = program_.type(node(load).results[0]);
        std::set<Value> tainted{node(load).results[0]};
        for (int n : program_.blocks[0].nodes) {
            const Node &each = node(n);
            bool uses = std::any_of(each.operands.begin(), each.operands.end(),
                                    [&](Value v) { return tainted.count(v) > 0; });
            if (!uses || n == store) {
                continue;
            }
            const kernel::OpInfo &row = kernel::info(each.op);
            if (row.kind != OpKind::Elementwise) {
                return false;
            }
            const kernel::TileType &type = program_.type(each.results[0]);
            if (!(type.rows == shape.rows) || !(type.columns == shape.columns)) {
                return false;
            }
            tainted.insert(each.results[0]);
        }
        return true;
    }

    int new_region() {
        Region region;
        region.index = static_cast<int>(regions_.size());
        regions_.push_back(region);
        return region.index;
    }

    std::vector<Shape> split(int block_index) {
        std::vector<Shape> shapes;
        std::set<int> stored;
        std::set<int> copied;
        auto start = [&] {
            Shape shape;
            shape.region = new_region();
            shapes.push_back(shape);
            stored.clear();
            copied.clear();
        };
        start();
        for (int n : program_.blocks[static_cast<size_t>(block_index)].nodes) {
            const Node &each = node(n);
            if (each.op == Op::ForiLoop) {
                shapes.push_back(split_loop(n, shapes.back().region));
                start();
                continue;
            }
            if (each.op == Op::Print) {
                shapes.push_back(split_print(n, shapes.back().region));
                start();
                continue;
            }
            if (offset_is_made_in(each, shapes.back().region)) {
                start();
            }
            if (each.op == Op::Load && result_.copied_load[static_cast<size_t>(n)]) {
                if (stored.count(param_of(each)) > 0) {
                    start();
                }
                copied.insert(param_of(each));
            }
            if (is_store(each.op)) {
                if (stored.count(param_of(each)) > 0 || copied.count(param_of(each)) > 0) {
                    start();
                }
                stored.insert(param_of(each));
                regions_[static_cast<size_t>(shapes.back().region)].stores.push_back(n);
            }
            home_[static_cast<size_t>(n)] = shapes.back().region;
        }
        return shapes;
    }

    /// Whether where `each` reads or writes is a value that `region` computes: places are checked
    /// before a region runs, so they must come from an earlier one.
    bool offset_is_made_in(const Node &each, int region) const {
        if (kernel::info(each.op).kind != OpKind::Memory && each.op != Op::Slice) {
            return false;
        }
        const size_t first = kernel::first_offset(each.op);
        return std::any_of(each.operands.begin() + static_cast<ptrdiff_t>(first),
                           each.operands.end(), [&](Value offset) {
                               int made_by = program_.values[static_cast<size_t>(offset)].node;
                               return made_by >= 0 && !is_scalar_expression(offset) &&
                                      home_[static_cast<size_t>(made_by)] == region;
                           });
    }

    /// The region before it leaves a copy of the tile for it.
    Shape split_print(int n, int before) {
        const std::string &name = result_.names[static_cast<size_t>(n)];
        Value value = node(n).operands[0];
        Shape shape;
        shape.print = {n, add_scratch(name + ".memory", program_.type(value), true)};
        regions_[static_cast<size_t>(before)].outputs.push_back(
            {value, shape.print.scratch, name + ".out"});
        home_[static_cast<size_t>(n)] = before;
        return shape;
    }

    Shape split_loop(int n, int before) {
        const Node &each = node(n);
        const Block &block = program_.blocks[static_cast<size_t>(each.block)];
        const std::string &name = result_.names[static_cast<size_t>(n)];
        Shape shape;
        shape.loop.node = n;
        for (size_t c = 0; c < each.results.size(); ++c) {
            const kernel::TileType &type = program_.type(each.results[c]);
            std::string base = name + ".carry" + std::to_string(c);
            Carry carry;
            carry.first = add_scratch(base + ".first", type, true);
            carry.second = add_scratch(base + ".second", type, true);
            carry.current = add_scratch(base + ".current", type, false);
            carry.next = add_scratch(base + ".next", type, false);
            carry.result = add_scratch(base + ".result", type, false);
            result_.scratch_of[static_cast<size_t>(block.arguments[c + 1])] = carry.current;
            result_.scratch_of[static_cast<size_t>(each.results[c])] = carry.result;
            regions_[static_cast<size_t>(before)].outputs.push_back(
                {each.operands[c + 2], carry.first, name + ".init" + std::to_string(c)});
            shape.loop.carries.push_back(carry);
        }
        home_[static_cast<size_t>(n)] = before;
        shape.body = split(each.block);
        int last = shape.body.back().region;
        for (size_t c = 0; c < each.results.size(); ++c) {
            regions_[static_cast<size_t>(last)].outputs.push_back(
                {block.yields[c], shape.loop.carries[c].next, name + ".carry" + std::to_string(c)});
        }
        return shape;
    }

    int add_scratch(const std::string &name, const kernel::TileType &type, bool owns) {
        result_.scratch.push_back({name, type, owns});
        return static_cast<int>(result_.scratch.size()) - 1;
    }

    void demand(const Shape &shape) {
        for (size_t i = shape.body.size(); i-- > 0;) {
            demand(shape.body[i]);
        }
        if (shape.loop.node >= 0) {
            const Node &loop = node(shape.loop.node);
            demand_scalar(loop.operands[0]);
            demand_scalar(loop.operands[1]);
            return;
        }
        if (shape.print.node >= 0) {
            return;
        }
        // The list grows while earlier regions are still to come, never this one's.
        const Region region = regions_[static_cast<size_t>(shape.region)];
        for (int store : region.stores) {
            const size_t first = kernel::first_offset(node(store).op);
            for (size_t i = 0; i < first; ++i) {
                demand(node(store).operands[i], region.index);
            }
            demand_offsets(node(store), first);
        }
        for (const RegionOutput &output : region.outputs) {
            if (result_.scratch_of[static_cast<size_t>(output.value)] != output.scratch) {
                demand(output.value, region.index);
            }
        }
    }

    void demand_offsets(const Node &each, size_t from) {
        for (size_t i = from; i < each.operands.size(); ++i) {
            demand_scalar(each.operands[i]);
        }
    }

    /// A scalar that a statement of ours needs: an expression of integers, or a value in scratch.
    void demand_scalar(Value value) {
        int made_by = program_.values[static_cast<size_t>(value)].node;
        if (made_by < 0 || is_scalar_expression(value)) {
            return;
        }
        keep(value);
    }

    bool is_scalar_expression(Value value) const {
        const kernel::ValueInfo &info = program_.values[static_cast<size_t>(value)];
        if (info.node < 0) {
            return info.type.is_scalar() && result_.scratch_of[static_cast<size_t>(value)] < 0;
        }
        const Node &each = node(info.node);
        OpKind kind = kernel::info(each.op).kind;
        return info.type.is_scalar() && (kind == OpKind::Leaf || kind == OpKind::Elementwise) &&
               std::all_of(each.operands.begin(), each.operands.end(),
                           [&](Value v) { return is_scalar_expression(v); });
    }

    bool can_be_made_again(Value value) const {
        int made_by = program_.values[static_cast<size_t>(value)].node;
        if (made_by < 0) {
            return true;
        }
        const Node &each = node(made_by);
        if (each.op == Op::Load) {
            return !result_.copied_load[static_cast<size_t>(made_by)];
        }
        return kernel::info(each.op).kind == OpKind::Leaf || is_scalar_expression(value);
    }

    void demand(Value value, int region) {
        int made_by = program_.values[static_cast<size_t>(value)].node;
        if (made_by < 0 || node(made_by).op == Op::ForiLoop) {
            return;
        }
        bool copied = result_.copied_load[static_cast<size_t>(made_by)];
        if (copied ||
            (home_[static_cast<size_t>(made_by)] != region && !can_be_made_again(value))) {
            keep(value);
        } else {
            walk(made_by, region);
        }
    }

    /// Computes the node in `region`.
    void walk(int n, int region) {
        if (!visited_.insert({region, n}).second) {
            return;
        }
        if (node(n).op == Op::Load) {
            demand_offsets(node(n), 0);
            return;
        }
        for (Value operand : node(n).operands) {
            demand(operand, region);
        }
        if (node(n).op == Op::Slice) {
            demand_offsets(node(n), 1);
        }
    }

    /// Makes `value`'s home region leave it in scratch memory.
    void keep(Value value) {
        int &scratch = result_.scratch_of[static_cast<size_t>(value)];
        if (scratch >= 0) {
            return;
        }
        int made_by = program_.values[static_cast<size_t>(value)].node;
        std::string name = result_.names[static_cast<size_t>(made_by)] + ".out";
        scratch = add_scratch(name + ".memory", program_.type(value), true);
        int home = home_[static_cast<size_t>(made_by)];
        regions_[static_cast<size_t>(home)].outputs.push_back({value, scratch, name});
        walk(made_by, home);
    }

    Statement statement(const Shape &shape) {
        if (shape.print.node >= 0) {
            return {shape.print};
        }
        if (shape.loop.node < 0) {
            return {regions_[static_cast<size_t>(shape.region)]};
        }
        CarriedLoop loop = shape.loop;
        for (const Shape &each : shape.body) {
            loop.body.push_back(statement(each));
        }
        return {std::move(loop)};
    }

    void list(const Region &region);

    const TileProgram &program_;
    std::vector<int> home_;
    std::vector<Region> regions_;
    std::set<std::pair<int, int>> visited_;
    Outline result_;
};

void Partitioner::list(const Region &region) {
    std::vector<int> nodes;
    for (size_t n = 0; n < program_.nodes.size(); ++n) {
        if (visited_.count({region.index, static_cast<int>(n)}) > 0) {
            nodes.push_back(static_cast<int>(n));
        }
    }
    list_funcs(program_, region, nodes, result_);
}

}  // namespace

Outline outline(const TileProgram &program) {
    return Partitioner(program).run();
}

}  // namespace pto::wsp::schedule
