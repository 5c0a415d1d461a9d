#include "pto/wsp/kernel/concatenate.h"

#include <algorithm>
#include <map>
#include <set>

#include <fmt/format.h>

#include "pto/wsp/kernel/builder.h"
#include "pto/wsp/support/error.h"

namespace pto::wsp::kernel {

namespace {

size_t at_index(int index) {
    return static_cast<size_t>(index);
}

bool writes(const Param &param) {
    return param.kind == Param::Kind::Tile && param.direction != Direction::In;
}

/// The nodes of `program` that load or store parameter `param`.
std::vector<const Node *> accesses(const TileProgram &program, int param) {
    std::vector<const Node *> found;
    for (const Node &node : program.nodes) {
        if ((node.op == Op::Load || is_store(node.op)) && param_of(node) == param) {
            found.push_back(&node);
        }
    }
    return found;
}

bool is_outside_of_loops(const TileProgram &program, const Node &node) {
    const std::vector<int> &root = program.blocks[0].nodes;
    return std::any_of(root.begin(), root.end(),
                       [&](int n) { return &program.nodes[at_index(n)] == &node; });
}

std::string why_not_forwarded(const TileProgram &first, int stored, const TileProgram &second,
                              int loaded) {
    if (!stores_whole(first, stored)) {
        return fmt::format("{} does not store '{}' whole and once", first.name,
                           first.params[at_index(stored)].name);
    }
    for (const Node *node : accesses(second, loaded)) {
        if (is_window(*node)) {
            return fmt::format("{} loads parts of '{}'", second.name,
                               second.params[at_index(loaded)].name);
        }
    }
    return "";
}

/// Copies a program into a builder.
class Copier {
public:
    /// `params` are the places of the program's parameters in the builder, `forwarded` the values
    /// of those that are not loaded.
    Copier(Builder &to, const TileProgram &program, std::vector<int> params,
           std::map<int, Value> forwarded)
        : to_(to), program_(program), params_(std::move(params)), forwarded_(std::move(forwarded)),
          map_(program.values.size(), -1) {}

    void run() {
        for (size_t v = 0; v < program_.values.size(); ++v) {
            if (program_.values[v].param >= 0) {
                map_[v] = to_.scalar(params_[at_index(program_.values[v].param)]);
            }
        }
        copy_block(0);
    }

    /// What was stored to `param`, as a load of it would give it.
    Value stored(int param) const { return stored_.at(param); }

private:
    void copy_block(int block) {
        for (int n : program_.blocks[at_index(block)].nodes) {
            const Node &node = program_.nodes[at_index(n)];
            if (node.op == Op::ForiLoop) {
                copy_loop(node);
            } else {
                copy_node(node);
            }
        }
    }

    void copy_node(const Node &node) {
        const bool of_param = node.op == Op::Load || is_store(node.op);
        if (node.op == Op::Load && forwarded_.count(param_of(node)) != 0) {
            map_[at_index(node.results[0])] = forwarded_.at(param_of(node));
            return;
        }
        Attributes attributes = node.attributes;
        if (of_param) {
            attributes["param"] = int64_t{params_[at_index(param_of(node))]};
        }
        const Value made = to_.op(node.op, mapped(node.operands), std::move(attributes), node.at);
        if (!node.results.empty()) {
            map_[at_index(node.results[0])] = made;
        }
        if (node.op == Op::Store) {
            stored_[param_of(node)] = as_loaded(map_[at_index(node.operands[0])], node);
        }
    }

    /// `value` as a load gives it back after `store`.
    Value as_loaded(Value value, const Node &store) {
        const TileType &type = program_.params[at_index(param_of(store))].type;
        if (to_.type(value).dtype == type.dtype) {
            return value;
        }
        return to_.op(Op::Cast, {value}, {{"dtype", std::string(pto::wsp::name(type.dtype))}},
                      store.at);
    }

    void copy_loop(const Node &node) {
        const Block &block = program_.blocks[at_index(node.block)];
        std::vector<Value> carries(node.operands.begin() + 2, node.operands.end());
        auto body = [&](Value index, const std::vector<Value> &arguments) {
            map_[at_index(block.arguments[0])] = index;
            for (size_t c = 0; c < arguments.size(); ++c) {
                map_[at_index(block.arguments[c + 1])] = arguments[c];
            }
            copy_block(node.block);
            return mapped(block.yields);
        };
        std::vector<Value> results =
            to_.fori_loop(map_[at_index(node.operands[0])], map_[at_index(node.operands[1])],
                          mapped(carries), body, node.at, loop_symbol(node));
        for (size_t r = 0; r < results.size(); ++r) {
            map_[at_index(node.results[r])] = results[r];
        }
    }

    std::vector<Value> mapped(const std::vector<Value> &values) const {
        std::vector<Value> result;
        result.reserve(values.size());
        for (Value value : values) {
            result.push_back(map_[at_index(value)]);
        }
        return result;
    }

    Builder &to_;
    const TileProgram &program_;
    std::vector<int> params_;
    std::map<int, Value> forwarded_;
    std::vector<Value> map_;
    std::map<int, Value> stored_;
};

/// `name`, or with the first number behind it that makes it no name of `taken`.
std::string free_name(const std::string &name, const std::set<std::string> &taken) {
    std::string free = name;
    for (int number = 2; taken.count(free) != 0; ++number) {
        free = name + std::to_string(number);
    }
    return free;
}

}  // namespace

bool stores_whole(const TileProgram &program, int param) {
    std::vector<const Node *> stores = accesses(program, param);
    std::erase_if(stores, [](const Node *node) { return !is_store(node->op); });
    return stores.size() == 1 && stores[0]->op == Op::Store && !is_window(*stores[0]) &&
           is_outside_of_loops(program, *stores[0]);
}

std::string why_not_concatenated(const TileProgram &first, const TileProgram &second,
                                 const SharedParams &shared) {
    for (const TileProgram *each : {&first, &second}) {
        if (each->custom != nullptr) {
            return each->name + " is no tile program";
        }
        if (!each->symbols().empty()) {
            return fmt::format("the sizes of {} are only known by name: {}", each->name,
                               each->symbols().front());
        }
    }
    for (size_t p = 0; p < shared.size(); ++p) {
        if (shared[p] < 0) {
            continue;
        }
        const Param &in_first = first.params[at_index(shared[p])];
        if (!(in_first.type == second.params[p].type)) {
            return fmt::format("'{}' is {} in {} and {} in {}", second.params[p].name,
                               in_first.type.user_str(), first.name,
                               second.params[p].type.user_str(), second.name);
        }
        if (writes(second.params[p])) {
            return fmt::format("{} writes '{}', which {} uses too", second.name,
                               second.params[p].name, first.name);
        }
        if (writes(in_first)) {
            std::string reason = why_not_forwarded(first, shared[p], second, static_cast<int>(p));
            if (!reason.empty()) {
                return reason;
            }
        }
    }
    return "";
}

std::shared_ptr<const TileProgram> concatenate(const TileProgram &first, const TileProgram &second,
                                               const SharedParams &shared, const std::string &name,
                                               Loc at) {
    if (std::string reason = why_not_concatenated(first, second, shared); !reason.empty()) {
        throw InternalError("concatenate", reason);
    }
    Builder to(name, std::move(at));
    std::set<std::string> names;
    std::vector<int> of_first;
    for (const Param &param : first.params) {
        names.insert(param.name);
        of_first.push_back(to.param(param));
    }
    std::vector<int> of_second;
    for (size_t p = 0; p < second.params.size(); ++p) {
        if (shared[p] >= 0) {
            of_second.push_back(of_first[at_index(shared[p])]);
        } else {
            Param param = second.params[p];
            param.name = free_name(param.name, names);
            names.insert(param.name);
            of_second.push_back(to.param(param));
        }
    }
    Copier before(to, first, of_first, {});
    before.run();
    std::map<int, Value> forwarded;
    for (size_t p = 0; p < shared.size(); ++p) {
        if (shared[p] >= 0 && writes(first.params[at_index(shared[p])])) {
            forwarded[static_cast<int>(p)] = before.stored(shared[p]);
        }
    }
    Copier(to, second, of_second, std::move(forwarded)).run();
    return to.finish();
}

}  // namespace pto::wsp::kernel
