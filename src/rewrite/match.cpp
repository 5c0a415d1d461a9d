#include <algorithm>
#include <bit>
#include <cmath>

#include "pto/wsp/rewrite/graph.h"
#include "pto/wsp/support/error.h"

namespace pto::wsp::rewrite {

namespace {

constexpr size_t max_alternatives = 1024;

[[noreturn]] void bad_pattern(const std::string &text, const Pattern &pattern) {
    throw InternalError("rewrite pattern", text + ": " + pattern.str());
}

[[noreturn]] void too_many(const Pattern &pattern) {
    bad_pattern("more than " + std::to_string(max_alternatives) + " alternatives", pattern);
}

using Patterns = std::vector<Pattern>;

/// `pattern` without either, maybe and commutative: one pattern for each way to read it.
Patterns alternatives_of(const Pattern &pattern) {
    if (pattern.kind == Pattern::Kind::Either) {
        Patterns all;
        for (const Pattern &each : pattern.operands) {
            for (Pattern &alternative : alternatives_of(each)) {
                all.push_back(std::move(alternative));
            }
        }
        return all;
    }
    if (pattern.kind != Pattern::Kind::Op) {
        return {pattern};
    }
    Patterns partial(1, pattern);
    partial[0].operands.clear();
    partial[0].any_order = false;
    for (const Pattern &operand : pattern.operands) {
        Patterns next;
        Patterns choices = alternatives_of(operand);
        if (operand.kind == Pattern::Kind::MaybeAbsent) {
            next = partial;
            choices = {any(operand.name)};
        }
        for (const Pattern &begun : partial) {
            for (const Pattern &choice : choices) {
                next.push_back(begun);
                next.back().operands.push_back(choice);
            }
        }
        if (next.size() > max_alternatives) {
            bad_pattern("more than " + std::to_string(max_alternatives) + " alternatives", pattern);
        }
        partial = std::move(next);
    }
    if (pattern.any_order) {
        size_t count = partial.size();
        if (2 * count > max_alternatives) {
            too_many(pattern);
        }
        for (size_t i = 0; i < count; ++i) {
            if (partial[i].operands.size() != 2) {
                bad_pattern("commutative needs two operands", pattern);
            }
            partial.push_back(partial[i]);
            std::swap(partial.back().operands[0], partial.back().operands[1]);
        }
    }
    return partial;
}

/// Each name is captured once, and `same` names only captures.
void check_captures(const Pattern &pattern) {
    std::vector<std::string> captured;
    std::vector<std::string> wanted;
    std::vector<const Pattern *> todo{&pattern};
    while (!todo.empty()) {
        const Pattern &each = *todo.back();
        todo.pop_back();
        if (each.kind == Pattern::Kind::Hole) {
            bad_pattern("it() outside of optional", pattern);
        }
        if (each.kind == Pattern::Kind::Same) {
            wanted.push_back(each.name);
        } else if (!each.name.empty()) {
            if (std::find(captured.begin(), captured.end(), each.name) != captured.end()) {
                bad_pattern(each.name + " is captured twice", pattern);
            }
            captured.push_back(each.name);
        }
        for (const Pattern &operand : each.operands) {
            todo.push_back(&operand);
        }
    }
    for (const std::string &name : wanted) {
        if (std::find(captured.begin(), captured.end(), name) == captured.end()) {
            bad_pattern("nothing is captured as " + name, pattern);
        }
    }
}

bool equal(double value, double wanted) {
    return std::isnan(wanted) ? std::isnan(value)
                              : std::bit_cast<uint64_t>(value) == std::bit_cast<uint64_t>(wanted);
}

}  // namespace

PatternCode::PatternCode(const Pattern &pattern) {
    for (const Pattern &alternative : alternatives_of(pattern)) {
        if (alternative.kind != Pattern::Kind::Op || alternative.op < 0) {
            bad_pattern("the root is no operation", pattern);
        }
        if (root_op_ >= 0 && alternative.op != root_op_) {
            bad_pattern("the root is one of several operations", pattern);
        }
        check_captures(alternative);
        root_op_ = alternative.op;
        alternatives_.push_back(compile(alternative));
    }
    if (alternatives_.empty()) {
        bad_pattern("no alternatives", pattern);
    }
    if (names_.size() > Match::max_captures) {
        bad_pattern(std::to_string(names_.size()) + " captures", pattern);
    }
}

int PatternCode::capture_index(const std::string &name) const {
    auto found = std::find(names_.begin(), names_.end(), name);
    return found == names_.end() ? -1 : static_cast<int>(found - names_.begin());
}

PatternCode::Steps PatternCode::compile(const Pattern &pattern) {
    struct Todo {
        const Pattern *pattern;
        int parent;
        int operand;
    };
    Steps steps;
    std::vector<std::string> seen{""};
    std::vector<Todo> todo{{&pattern, -1, 0}};
    while (!todo.empty()) {
        Todo next = todo.back();
        todo.pop_back();
        const Pattern &each = *next.pattern;
        if (!each.name.empty() && capture_index(each.name) < 0) {
            names_.push_back(each.name);
        }
        bool again = std::find(seen.begin(), seen.end(), each.name) != seen.end();
        seen.push_back(each.name);
        steps.push_back({each.kind, next.parent, next.operand, each.op,
                         static_cast<int>(each.operands.size()),
                         each.name.empty() ? -1 : capture_index(each.name), again, each.value});
        for (size_t i = each.operands.size(); i-- > 0;) {
            todo.push_back(
                {&each.operands[i], static_cast<int>(steps.size()) - 1, static_cast<int>(i)});
        }
    }
    if (steps.size() > Match::max_inner) {
        bad_pattern(std::to_string(steps.size()) + " nodes", pattern);
    }
    return steps;
}

bool PatternCode::match(const Graph &graph, NodeId node, int index, Match &match) const {
    const Steps &steps = alternatives_[static_cast<size_t>(index)];
    NodeId nodes[Match::max_inner];
    std::fill_n(match.captures_, names_.size(), no_node);
    match.inner_count_ = 0;
    for (size_t i = 0; i < steps.size(); ++i) {
        const Step &step = steps[i];
        NodeId here = step.parent < 0
                          ? node
                          : graph.operands(nodes[step.parent])[static_cast<size_t>(step.operand)];
        nodes[i] = here;
        NodeId *capture = step.capture < 0 ? nullptr : &match.captures_[step.capture];
        switch (step.kind) {
        case Pattern::Kind::Op:
            if (graph.op(here) != step.op ||
                graph.operands(here).size() != static_cast<size_t>(step.arity)) {
                return false;
            }
            match.inner_[match.inner_count_++] = here;
            break;
        case Pattern::Kind::Constant: {
            std::optional<double> value = graph.constant(here);
            if (!value || (step.value && !equal(*value, *step.value))) {
                return false;
            }
            break;
        }
        default:
            break;
        }
        if (capture != nullptr) {
            if (step.again && *capture != here) {
                return false;
            }
            *capture = here;
        }
    }
    match.names_ = &names_;
    match.root_ = node;
    return true;
}

std::vector<NodeId> PatternCode::inner(const Match &match) {
    return {match.inner_, match.inner_ + match.inner_count_};
}

NodeId Match::find(std::string_view name) const {
    for (size_t i = 0; i < names_->size(); ++i) {
        if ((*names_)[i] == name) {
            return captures_[i];
        }
    }
    return no_node;
}

NodeId Match::operator[](std::string_view name) const {
    NodeId node = find(name);
    if (node == no_node) {
        throw InternalError("rewrite", "the pattern captured nothing as " + std::string(name));
    }
    return node;
}

}  // namespace pto::wsp::rewrite
