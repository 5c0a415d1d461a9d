#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include "pto/wsp/rewrite/graph.h"
#include "pto/wsp/support/error.h"

namespace pto::wsp::rewrite {

namespace {

constexpr size_t max_operands = 8;

[[noreturn]] void bad_pattern(const std::string &text, const Pattern &pattern) {
    throw InternalError("rewrite pattern", text + ": " + pattern.str());
}

bool contains(const std::vector<std::string> &names, const std::string &name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

/// What `pattern` captures; alternatives may capture the same names.
std::vector<std::string> captures_of(const Pattern &pattern) {
    if (pattern.kind == Pattern::Kind::Hole) {
        bad_pattern("it() outside of optional", pattern);
    }
    if (pattern.kind == Pattern::Kind::Either && !pattern.name.empty()) {
        bad_pattern("alternatives are captured one by one, not as " + pattern.name, pattern);
    }
    std::vector<std::string> captured;
    if (!pattern.name.empty() && pattern.kind != Pattern::Kind::Same) {
        captured.push_back(pattern.name);
    }
    for (const Pattern &operand : pattern.operands) {
        for (const std::string &name : captures_of(operand)) {
            if (!contains(captured, name)) {
                captured.push_back(name);
            } else if (pattern.kind != Pattern::Kind::Either) {
                bad_pattern(name + " is captured twice", pattern);
            }
        }
    }
    return captured;
}

OpId root_of(const Pattern &pattern) {
    if (pattern.kind == Pattern::Kind::Either && !pattern.operands.empty()) {
        OpId op = root_of(pattern.operands[0]);
        for (const Pattern &each : pattern.operands) {
            if (root_of(each) != op) {
                bad_pattern("the root is one of several operations", pattern);
            }
        }
        return op;
    }
    if (pattern.kind != Pattern::Kind::Op || pattern.op < 0) {
        bad_pattern("the root is no operation", pattern);
    }
    return pattern.op;
}

int operation_count(const Pattern &pattern) {
    int count = pattern.kind == Pattern::Kind::Op ? 1 : 0;
    for (const Pattern &operand : pattern.operands) {
        count += operation_count(operand);
    }
    return count;
}

bool equal(double value, double wanted) {
    return std::isnan(wanted) ? std::isnan(value)
                              : std::bit_cast<uint64_t>(value) == std::bit_cast<uint64_t>(wanted);
}

}  // namespace

/// That `step` fits at `node`, and then what follows. Goals live on the stack of the search.
struct Matcher::Goal {
    int step;
    NodeId node;
    const Goal *next;
};

struct Matcher::Search {
    const Graph &graph;
    const std::function<bool(const Match &)> &accept;
    Match match;
};

Matcher::Matcher(const Pattern &pattern)
    : root_op_(root_of(pattern)), names_(captures_of(pattern)) {
    if (names_.size() > Match::max_captures) {
        bad_pattern(std::to_string(names_.size()) + " captures", pattern);
    }
    if (operation_count(pattern) > Match::max_operations) {
        bad_pattern(std::to_string(operation_count(pattern)) + " operations", pattern);
    }
    compile(pattern);
}

int Matcher::compile(const Pattern &pattern) {
    auto capture = std::find(names_.begin(), names_.end(), pattern.name);
    if (!pattern.name.empty() && capture == names_.end()) {
        bad_pattern("nothing is captured as " + pattern.name, pattern);
    }
    if (pattern.any_order && pattern.operands.size() != 2) {
        bad_pattern("commutative needs two operands", pattern);
    }
    if (pattern.kind == Pattern::Kind::Op && pattern.operands.size() > max_operands) {
        bad_pattern(std::to_string(pattern.operands.size()) + " operands", pattern);
    }
    auto index = static_cast<int>(steps_.size());
    steps_.push_back({pattern.kind,
                      pattern.any_order,
                      pattern.op,
                      pattern.name.empty() ? -1 : static_cast<int>(capture - names_.begin()),
                      pattern.value,
                      {}});
    std::vector<int> operands;
    for (const Pattern &operand : pattern.operands) {
        operands.push_back(compile(operand));
    }
    steps_[static_cast<size_t>(index)].operands = std::move(operands);
    return index;
}

bool Matcher::match(const Graph &graph, NodeId node,
                    const std::function<bool(const Match &)> &accept) const {
    Search search{graph, accept, {}};
    search.match.names_ = &names_;
    search.match.root_ = node;
    std::fill_n(search.match.captures_, names_.size(), no_node);
    Goal goal{0, node, nullptr};
    return solve(search, &goal);
}

bool Matcher::solve(Search &search, const Goal *goals) const {
    if (goals == nullptr) {
        return search.accept(search.match);
    }
    const Goal &goal = *goals;
    const Step &step = steps_[static_cast<size_t>(goal.step)];
    switch (step.kind) {
    case Pattern::Kind::Either:
        return std::any_of(step.operands.begin(), step.operands.end(), [&](int alternative) {
            Goal chosen{alternative, goal.node, goal.next};
            return solve(search, &chosen);
        });
    case Pattern::Kind::Constant: {
        std::optional<double> value = search.graph.constant(goal.node);
        return value && (!step.value || equal(*value, *step.value)) && bind(search, step, goal);
    }
    case Pattern::Kind::Op:
        return search.graph.op(goal.node) == step.op && bind(search, step, goal);
    default:
        return bind(search, step, goal);
    }
}

/// A name that two steps have must mean one node, whichever of them comes first.
bool Matcher::bind(Search &search, const Step &step, const Goal &goal) const {
    bool operation = step.kind == Pattern::Kind::Op;
    auto proceed = [&] {
        return operation ? solve_operation(search, step, goal) : solve(search, goal.next);
    };
    if (step.capture < 0) {
        return proceed();
    }
    NodeId &capture = search.match.captures_[step.capture];
    if (capture != no_node) {
        return capture == goal.node && proceed();
    }
    capture = goal.node;
    bool solved = proceed();
    capture = no_node;
    return solved;
}

bool Matcher::solve_operation(Search &search, const Step &step, const Goal &goal) const {
    std::span<const NodeId> operands = search.graph.operands(goal.node);
    size_t most = step.operands.size();
    size_t least = most;
    while (least > 0 && steps_[static_cast<size_t>(step.operands[least - 1])].kind ==
                            Pattern::Kind::MaybeAbsent) {
        least -= 1;
    }
    if (operands.size() < least || operands.size() > most) {
        return false;
    }
    Match &match = search.match;
    match.operations_[match.operation_count_++] = goal.node;
    bool solved = false;
    if (step.any_order) {
        for (size_t first : {size_t{0}, size_t{1}}) {
            Goal right{step.operands[1], operands[1 - first], goal.next};
            Goal left{step.operands[0], operands[first], &right};
            solved = solved || solve(search, &left);
        }
    } else {
        Goal goals[max_operands];
        const Goal *next = goal.next;
        for (size_t i = operands.size(); i-- > 0;) {
            goals[i] = {step.operands[i], operands[i], next};
            next = &goals[i];
        }
        solved = solve(search, next);
    }
    match.operation_count_ -= 1;
    return solved;
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
