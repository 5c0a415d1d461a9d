#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "pto/wsp/rewrite/graph.h"
#include "pto/wsp/support/loc.h"

namespace pto::wsp::rewrite {

/// `text` with `{x}` and `{x.uses}` filled in.
std::string filled(const std::string &text, const Graph &graph, const Match &match);

/// One rule of a table, over any graph; made by a `RuleFor`.
struct Rule {
    /// Must hold for the rule to fire.
    struct Condition {
        std::function<bool(const Graph &, const Match &)> holds;
        /// Said when it does not hold, and asked only by who explains; empty: nothing is said.
        std::function<std::string(const Graph &, const Match &)> reason;
    };
    /// What the replacement saves, for a choice by cost.
    struct Saving {
        std::string unit;  ///< `multiplications`
        std::function<double(const Graph &, const Match &)> amount;
    };

    std::string name;
    Matcher pattern;
    std::vector<Condition> conditions;
    Saving saving;
    std::function<NodeId(Rebuild &, const Match &)> replacement;
    Loc at;  ///< the rule's own line

    /// `rules_softmax.cpp:41`
    std::string place() const;
};

/// Rules that are applied together, in order of preference. One table a file.
class Table {
public:
    /// InternalError when a rule has no replacement.
    Table(std::string name, std::vector<Rule> rules);

    const std::string &name() const { return name_; }
    const std::vector<Rule> &rules() const { return rules_; }
    /// The rules whose root is operation `op`, as indices.
    const std::vector<int> &rules_of(OpId op) const;

private:
    std::string name_;
    std::vector<Rule> rules_;
    std::vector<std::vector<int>> by_op_;
};

/// Writes a rule over the graphs of one level `G`, whose `G::Rebuild` builds its replacements:
///
/// ```
/// TileRule("divide-by-one", div(any("x"), constant(1.0)))
///     .when("{x} would change its type", keeps_type("x"))
///     .to([](TileRebuild &to, const Match &m) { return to(m["x"]); })
/// ```
template <class G> class RuleFor {
public:
    using Predicate = std::function<bool(const G &, const Match &)>;
    using WhyNot = std::function<std::optional<std::string>(const G &, const Match &)>;
    using Amount = std::function<double(const G &, const Match &)>;
    using Replacement = std::function<NodeId(typename G::Rebuild &, const Match &)>;

    RuleFor(std::string name, const Pattern &pattern, Loc at = Loc::here())
        : rule_{std::move(name), Matcher(pattern), {}, {}, {}, std::move(at)} {}

    /// A condition and the reason to give when it does not hold, none to give none: `{x}` stands
    /// for the text of capture x and `{x.uses}` for how often it is used. Conditions are tried in
    /// order.
    RuleFor when(std::string reason, Predicate holds) && {
        rule_.conditions.push_back(
            {[holds = std::move(holds)](const Graph &graph, const Match &m) {
                 return holds(static_cast<const G &>(graph), m);
             },
             [reason = std::move(reason)](const Graph &graph, const Match &m) {
                 return filled(reason, graph, m);
             }});
        return std::move(*this);
    }

    /// A condition that finds the reason itself; nothing when it holds.
    RuleFor unless(WhyNot why_not) && {
        rule_.conditions.push_back(
            {[why_not](const Graph &graph, const Match &m) {
                 return !why_not(static_cast<const G &>(graph), m);
             },
             [why_not](const Graph &graph, const Match &m) {
                 return why_not(static_cast<const G &>(graph), m).value_or("");
             }});
        return std::move(*this);
    }

    /// The captured node has no use outside of the pattern's one.
    RuleFor single_use(const std::string &capture) && {
        return std::move(*this).when(
            "{" + capture + "} has {" + capture + ".uses} uses",
            [capture](const G &graph, const Match &m) { return graph.uses(m[capture]) == 1; });
    }

    /// Fires only when `amount` is positive. Of several rules that could fire at one node the one
    /// that saves most does; a rule that states no saving counts as 0.
    RuleFor saving(std::string unit, Amount amount) && {
        rule_.saving = {std::move(unit),
                        [amount = std::move(amount)](const Graph &graph, const Match &m) {
                            return amount(static_cast<const G &>(graph), m);
                        }};
        return std::move(*this);
    }

    /// The replacement, of the same type and value as the matched root.
    Rule to(Replacement build) && {
        rule_.replacement = [build = std::move(build)](Rebuild &to, const Match &m) {
            return build(static_cast<typename G::Rebuild &>(to), m);
        };
        return std::move(rule_);
    }

private:
    Rule rule_;
};

}  // namespace pto::wsp::rewrite
