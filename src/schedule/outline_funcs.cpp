#include "outline_funcs.h"

#include <map>
#include <string>

namespace pto::wsp::schedule {

using kernel::Node;
using kernel::Op;
using kernel::OpKind;
using kernel::TileProgram;
using kernel::Value;

namespace {

/// The Funcs of one region, appended to an outline in the order in which they are made.
class Lister {
public:
    Lister(const TileProgram &program, Outline &outline, const Region &region)
        : program_(program), outline_(outline), region_(region) {}

    void list_node(int n) {
        const Node &each = node(n);
        size_t func = each.op == Op::Matmul ? list_product(n)
                      : folds(each)         ? list_reduction(n)
                                            : list_pointwise(n);
        func_of_[each.results[0]] = outline_.funcs[func].name;
    }

    void list_stores_and_outputs() {
        for (int store : region_.stores) {
            const Node &each = node(store);
            size_t func =
                add(name_of(store), FuncRole::Store, store, program_.type(each.operands[0]));
            for (size_t i = 0; i < kernel::first_offset(each.op); ++i) {
                read(func, each.operands[i]);
            }
        }
        for (const RegionOutput &output : region_.outputs) {
            int made_by = program_.values[static_cast<size_t>(output.value)].node;
            read(add(output.name, FuncRole::Copy, made_by, program_.type(output.value)),
                 output.value);
        }
    }

private:
    size_t list_product(int n) {
        const Node &each = node(n);
        const kernel::TileType &type = program_.type(each.results[0]);
        const kernel::TileType &a = program_.type(each.operands[0]);
        Affine inner = kernel::has_flag(each.attributes, "trans_a") ? a.rows : a.columns;
        if (kernel::has_flag(each.attributes, "pairs")) {
            inner = Affine(*inner.as_constant() / 2);
        }
        size_t operand = part(n, ".b", FuncRole::Operand, {a.dtype, inner, type.columns});
        read(operand, each.operands[1]);
        size_t sum = part(n, ".sum", FuncRole::Sum, type);
        outline_.funcs[sum].reduction = inner;
        read(sum, each.operands[0]);
        read_func(sum, operand);
        size_t product = 0;
        if (kernel::skips_zeros(each, type.dtype)) {
            product = list_second_look(n, operand, sum);
        } else {
            product = add(name_of(n), FuncRole::Product, n, type);
            read_func(product, sum);
        }
        if (each.operands.size() > 2) {
            read(product, each.operands[2]);
        }
        return product;
    }

    /// A product whose rows are computed again, without terms of 0, where they are not finite.
    size_t list_second_look(int n, size_t operand, size_t sum) {
        const Node &each = node(n);
        const kernel::TileType type = program_.type(each.results[0]);
        size_t first = part(n, ".first", FuncRole::Product, type);
        read_func(first, sum);
        size_t special = part(n, ".special", FuncRole::Probe, {DType::I32, type.rows, 1});
        outline_.funcs[special].reduction = type.columns;
        read_func(special, first);
        size_t again = part(n, ".again", FuncRole::Reduction, type);
        outline_.funcs[again].reduction = outline_.funcs[sum].reduction;
        read(again, each.operands[0]);
        read_func(again, operand);
        read_func(again, special);
        size_t product = add(name_of(n), FuncRole::Pure, n, type);
        for (size_t read : {first, special, again}) {
            read_func(product, read);
        }
        return product;
    }

    static bool folds(const Node &each) {
        OpKind kind = kernel::info(each.op).kind;
        return kind == OpKind::Reduction || kind == OpKind::ColumnReduction ||
               kind == OpKind::Sorting;
    }

    size_t list_reduction(int n) {
        const Node &each = node(n);
        const kernel::TileType &type = program_.type(each.results[0]);
        const kernel::TileType &x = program_.type(each.operands[0]);
        OpKind kind = kernel::info(each.op).kind;
        const Affine &extent = kind == OpKind::ColumnReduction ? x.rows : x.columns;
        if (kind == OpKind::Sorting) {
            return list_sorting(n, extent);
        }
        size_t func = add(name_of(n), FuncRole::Reduction, n, type);
        // One element is no loop.
        const Affine reduction = extent == Affine(1) ? Affine(0) : extent;
        outline_.funcs[func].reduction = reduction;
        if (kernel::looks_for_nan(each, type.dtype)) {
            size_t probe = part(n, ".nan", FuncRole::Probe, type);
            outline_.funcs[probe].reduction = reduction;
            read(probe, each.operands[0]);
            probe_of_[each.results[0]] = outline_.funcs[probe].name;
        }
        read_operands(func, each);
        return func;
    }

    size_t list_sorting(int n, const Affine &extent) {
        const Node &each = node(n);
        size_t rank = part(n, ".rank", FuncRole::Reduction, program_.type(each.operands[0]));
        outline_.funcs[rank].reduction = extent;
        read(rank, each.operands[0]);
        size_t func = add(name_of(n), FuncRole::Reduction, n, program_.type(each.results[0]));
        outline_.funcs[func].reduction = extent;
        read_func(func, rank);
        read_operands(func, each);
        return func;
    }

    size_t list_pointwise(int n) {
        const Node &each = node(n);
        bool loads = each.op == Op::Load;
        size_t func = add(name_of(n), loads ? FuncRole::Load : FuncRole::Pure, n,
                          program_.type(each.results[0]));
        if (!loads) {
            read_operands(func, each);
        }
        return func;
    }

    size_t add(std::string name, FuncRole role, int node, const kernel::TileType &type) {
        if (outline_.find(name) != nullptr) {
            name += ".r" + std::to_string(region_.index);
        }
        FuncOutline func;
        func.name = std::move(name);
        func.role = role;
        func.node = node;
        func.region = region_.index;
        func.rows = type.rows;
        func.columns = type.columns;
        outline_.funcs.push_back(std::move(func));
        return outline_.funcs.size() - 1;
    }

    /// A Func that is made with the one of node `n`.
    size_t part(int n, const char *suffix, FuncRole role, const kernel::TileType &type) {
        size_t func = add(name_of(n) + suffix, role, n, type);
        outline_.funcs[func].part = true;
        return func;
    }

    void read_func(size_t func, size_t from) {
        outline_.funcs[func].reads.push_back(outline_.funcs[from].name);
    }

    void read(size_t func, Value value) {
        for (const auto *made : {&func_of_, &probe_of_}) {
            auto found = made->find(value);
            if (found != made->end()) {
                outline_.funcs[func].reads.push_back(found->second);
            }
        }
    }

    void read_operands(size_t func, const Node &each) {
        for (Value operand : each.operands) {
            read(func, operand);
        }
    }

    const Node &node(int n) const { return program_.nodes[static_cast<size_t>(n)]; }
    const std::string &name_of(int n) const { return outline_.names[static_cast<size_t>(n)]; }

    const TileProgram &program_;
    Outline &outline_;
    const Region &region_;
    std::map<Value, std::string> func_of_;
    std::map<Value, std::string> probe_of_;  ///< who reads an extreme reads its probe
};

}  // namespace

void list_funcs(const TileProgram &program, const Region &region, const std::vector<int> &nodes,
                Outline &outline) {
    Lister lister(program, outline, region);
    for (int n : nodes) {
        lister.list_node(n);
    }
    lister.list_stores_and_outputs();
}

}  // namespace pto::wsp::schedule
