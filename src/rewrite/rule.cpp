#include "pto/wsp/rewrite/rule.h"

#include "pto/wsp/support/error.h"

namespace pto::wsp::rewrite {

std::string filled(const std::string &text, const Graph &graph, const Match &match) {
    std::string result;
    size_t at = 0;
    while (at < text.size()) {
        size_t open = text.find('{', at);
        size_t close = open == std::string::npos ? open : text.find('}', open);
        if (close == std::string::npos) {
            break;
        }
        result += text.substr(at, open - at);
        std::string name = text.substr(open + 1, close - open - 1);
        size_t dot = name.find(".uses");
        NodeId node = match[name.substr(0, dot)];
        result += dot == std::string::npos ? graph.text(node) : std::to_string(graph.uses(node));
        at = close + 1;
    }
    return result + text.substr(at);
}

std::string Rule::place() const {
    Loc short_at = at;
    short_at.file.erase(0, short_at.file.find_last_of('/') + 1);
    return short_at.str();
}

Table::Table(std::string name, std::vector<Rule> rules)
    : name_(std::move(name)), rules_(std::move(rules)) {
    for (size_t i = 0; i < rules_.size(); ++i) {
        const Rule &rule = rules_[i];
        if (!rule.replacement) {
            throw InternalError("rewrite table " + name_, rule.name + " has no replacement",
                                rule.at);
        }
        auto op = static_cast<size_t>(rule.pattern.root_op());
        if (by_op_.size() <= op) {
            by_op_.resize(op + 1);
        }
        by_op_[op].push_back(static_cast<int>(i));
    }
}

const std::vector<int> &Table::rules_of(OpId op) const {
    static const std::vector<int> none;
    bool known = op >= 0 && static_cast<size_t>(op) < by_op_.size();
    return known ? by_op_[static_cast<size_t>(op)] : none;
}

}  // namespace pto::wsp::rewrite
