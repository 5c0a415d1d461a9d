#include "join_blocks.h"
#include "rules_patterns.h"

#include <array>
#include <limits>

/// Online softmax: what goes block by block over the keys with a running maximum, as one softmax.
/// For blocks s_i of scores and v_i of values,
/// ```
/// m' = maximum(m, rowmax(s_i))            m = rowmax(s)
/// l' = l * exp(m - m') + rowsum(p_i)      l = rowsum(e)      e = exp(s - m)
/// a' = a * exp(m - m') + p_i @ v_i        a = e @ v          p_i = exp(s_i - m')
/// ```
/// with m at -inf and l and a at 0 before the first block (M. Milakov and N. Gimelshein, "Online
/// normalizer calculation for softmax", 2018). Both sides are equal up to rounding: exp(m - m')
/// times an exponential is rounded once more a block, and sums are in another order.
///
/// Where they differ by more: a row whose first scores are all -inf is NaN in the blocks, as m is
/// -inf there, and what softmax gives in the whole. A maximum that starts at -1e30 or below stands
/// for -inf: rows of which every score is below it get their softmax, too. How fast it is, is the
/// schedule's business: of this and of softmax it makes the same code.
namespace pto::wsp::kernel {

using namespace pattern;
using rewrite::Matcher;
using rewrite::no_node;

namespace {

/// A maximum that starts no higher stands for -inf.
constexpr double as_low_as_infinity = -1e30;

/// Why blocks are no online softmax; the reasons are in the table.
enum class Failure : uint8_t {
    None,
    Absent,  ///< nothing looks like it: no reason is given
    Iterations,
    Stores,
    Others,
    Start,
    Types,
    Carried,
    Window,
    Operation,
};

Failure failure_of(Unjoined why) {
    switch (why) {
    case Unjoined::Carried:
        return Failure::Carried;
    case Unjoined::Window:
        return Failure::Window;
    default:
        return Failure::Operation;
    }
}

Pattern rescaled() {
    return mul(any("old"), exp(sub(any("m_old"), any("m_new"))));
}
Pattern exponents() {
    return exp(sub(any("s"), same("m_new")));
}

/// The recurrences, at their last operation.
const Matcher &maximum_step() {
    static const Matcher matcher(maximum(any("m_old"), rowmax(any("s"))));
    return matcher;
}
const Matcher &sum_step() {
    static const Matcher matcher(add(rescaled(), rowsum(exponents())));
    return matcher;
}
Pattern left_operand() {
    return either({exponents(), of(Op::Cast, {exponents()}).as("narrow")});
}
const std::array<Matcher, 2> &product_steps() {
    static const std::array<Matcher, 2> matchers{
        Matcher(add(rescaled(), of(Op::Matmul, {left_operand(), any("v")}).as("product"))),
        Matcher(of(Op::Matmul, {left_operand(), any("v"), rescaled()}).as("product"))};
    return matchers;
}

/// One block's part of a running sum or product.
struct Step {
    Value old = no_node;
    Value m_old = no_node;
    Value m_new = no_node;
    Value s = no_node;
    Value v = no_node;  ///< of a product
    Value narrow = no_node;
    Value product = no_node;
};

Value captured(const Match &m, const char *name) {
    return m.has(name) ? m[name] : no_node;
}

Step step_of(const Match &m) {
    return {m["old"],
            m["m_old"],
            m["m_new"],
            m["s"],
            captured(m, "v"),
            captured(m, "narrow"),
            captured(m, "product")};
}

/// The step at `value`, whose maximum is `m_new` when one is given.
std::optional<Step> find_step(const TileGraph &graph, Value value, Value m_new = no_node) {
    std::optional<Step> found;
    auto accept = [&](const Match &m) {
        if (m_new != no_node && m["m_new"] != m_new) {
            return false;
        }
        found = step_of(m);
        return true;
    };
    auto try_at = [&](const Matcher &matcher) {
        return graph.op(value) == matcher.root_op() && matcher.match(graph, value, accept);
    };
    bool matched = try_at(sum_step()) || try_at(product_steps()[0]) || try_at(product_steps()[1]);
    return matched ? found : std::nullopt;
}

/// What all blocks make together.
struct Whole {
    JoinedPtr scores;
    JoinedPtr values;        ///< of a product
    Attributes narrow = {};  ///< of the conversion of its left operand; empty: none
    Attributes product = {};
};

bool is_low(const TileGraph &graph, Value value) {
    std::optional<double> start = graph.constant(value);
    return start && *start <= as_low_as_infinity;
}

bool is_zero(const TileGraph &graph, Value value) {
    return graph.constant(value) == 0.0;
}

Whole join_products(const TileGraph &graph, BlockJoin &join, const std::vector<Step> &steps) {
    std::vector<Value> scores;
    std::vector<Value> values;
    for (const Step &step : steps) {
        scores.push_back(step.s);
        values.push_back(step.v);
    }
    Whole whole{join.join(scores, Axis::Columns), nullptr};
    const Step &first = steps.front();
    if (first.product != no_node) {
        whole.product = graph.attributes(first.product);
        whole.values =
            join.join(values, graph.flag(first.product, "trans_b") ? Axis::Columns : Axis::Rows);
        if (first.narrow != no_node) {
            whole.narrow = graph.attributes(first.narrow);
        }
    }
    return whole;
}

/// Whether `step` makes a tile of the type that the whole has.
bool is_of_type(const TileGraph &graph, const Step &step, const TileType &type) {
    TileType sum{DType::F32, graph.type(step.s).rows, 1};
    return type == (step.product == no_node ? sum : graph.type(step.product));
}

/// Whether two blocks are multiplied in the same way.
bool are_alike(const TileGraph &graph, const Step &a, const Step &b) {
    auto alike = [&](Value x, Value y) {
        return (x == no_node) == (y == no_node) &&
               (x == no_node || graph.attributes(x) == graph.attributes(y));
    };
    return alike(a.product, b.product) && alike(a.narrow, b.narrow);
}

Value exponents_of(TileRebuild &to, Value scores, Value most) {
    return to.op(Op::Exp, {to.op(Op::Sub, {scores, most})});
}

/// The sum or product of a whole.
Value make_whole(TileRebuild &to, const Whole &whole) {
    Value scores = build(to, whole.scores);
    Value e = exponents_of(to, scores, to.op(Op::Rowmax, {scores}));
    if (whole.values == nullptr) {
        return to.op(Op::Rowsum, {e});
    }
    if (!whole.narrow.empty()) {
        e = to.op(Op::Cast, {e}, whole.narrow);
    }
    return to.op(Op::Matmul, {e, build(to, whole.values)}, whole.product);
}

/// A loop over blocks.
class OnlineLoop {
public:
    OnlineLoop(const TileGraph &graph, rewrite::NodeId loop)
        : graph_(graph), id_(loop), loop_(graph.loop(loop)), body_(graph.body(loop)),
          wholes_(loop_.results.size()) {
        failure_ = analyse();
    }

    Failure failure() const { return failure_; }

    Value build_results(TileRebuild &to) const {
        std::vector<Value> results(loop_.results.size(), no_node);
        for (size_t c = 0; c < results.size(); ++c) {
            if (c == maximum_) {
                results[c] = to.op(Op::Rowmax, {build(to, scores_)});
            } else if (wholes_[c]) {
                results[c] = make_whole(to, *wholes_[c]);
            }
        }
        to.give(id_, results);
        return id_;
    }

private:
    /// What `carry` is before an iteration.
    Value argument(size_t carry) const { return body_.arguments[carry + 1]; }
    Value start(size_t carry) const { return loop_.operands[carry + 2]; }
    bool is_used(size_t carry) const {
        return graph_.uses(loop_.results[carry]) > 0 || graph_.uses(argument(carry)) > 0;
    }

    Failure analyse() {
        if (!find_maximum()) {
            return Failure::Absent;
        }
        std::vector<std::optional<Step>> steps(wholes_.size());
        bool any = false;
        for (size_t c = 0; c < steps.size(); ++c) {
            if (c != maximum_ && is_used(c)) {
                steps[c] = find_step(graph_, body_.yields[c], body_.yields[maximum_]);
                bool fits = steps[c] && steps[c]->old == argument(c) &&
                            steps[c]->m_old == argument(maximum_) && steps[c]->s == score_ &&
                            is_of_type(graph_, *steps[c], graph_.type(argument(c)));
                if (!fits) {
                    return Failure::Others;
                }
                any = true;
            }
        }
        if (!any) {
            return Failure::Absent;
        }
        return analyse_blocks(steps);
    }

    Failure analyse_blocks(const std::vector<std::optional<Step>> &steps) {
        if (graph_.has_store(id_)) {
            return Failure::Stores;
        }
        std::optional<double> lo = graph_.constant(loop_.operands[0]);
        std::optional<double> hi = graph_.constant(loop_.operands[1]);
        if (!lo || !hi || *lo >= *hi || !loop_symbol(loop_).empty()) {
            return Failure::Iterations;
        }
        TileType most{DType::F32, graph_.type(score_).rows, 1};
        if (graph_.type(score_).dtype != DType::F32 || !(graph_.type(argument(maximum_)) == most)) {
            return Failure::Types;
        }
        bool starts = is_low(graph_, start(maximum_));
        for (size_t c = 0; c < steps.size(); ++c) {
            starts = starts && (!steps[c] || is_zero(graph_, start(c)));
        }
        if (!starts) {
            return Failure::Start;
        }
        try {
            BlockJoin join(graph_, id_, static_cast<int64_t>(*lo), static_cast<int64_t>(*hi));
            scores_ = join.join({score_}, Axis::Columns);
            for (size_t c = 0; c < steps.size(); ++c) {
                if (steps[c]) {
                    wholes_[c] = join_products(graph_, join, {*steps[c]});
                }
            }
        } catch (Unjoined why) {
            return failure_of(why);
        }
        return Failure::None;
    }

    bool find_maximum() {
        for (size_t c = 0; c < wholes_.size(); ++c) {
            Value next = body_.yields[c];
            auto accept = [&](const Match &m) {
                score_ = m["s"];
                return m["m_old"] == argument(c);
            };
            if (graph_.op(next) == maximum_step().root_op() &&
                maximum_step().match(graph_, next, accept)) {
                maximum_ = c;
                return true;
            }
        }
        return false;
    }

    const TileGraph &graph_;
    rewrite::NodeId id_;
    const Node &loop_;
    const Block &body_;
    std::vector<std::optional<Whole>> wholes_;  ///< of each carry
    size_t maximum_ = 0;
    Value score_ = no_node;
    JoinedPtr scores_;
    Failure failure_;
};

/// Blocks in a line, from the last sum or product on back.
class OnlineLine {
public:
    OnlineLine(const TileGraph &graph, Value last) : graph_(graph) { failure_ = analyse(last); }

    Failure failure() const { return failure_; }
    Value build_result(TileRebuild &to) const { return make_whole(to, whole_); }

private:
    Failure analyse(Value last) {
        std::vector<Step> steps;
        Value value = last;
        Value most = no_node;
        bool complete = false;
        while (std::optional<Step> step = find_step(graph_, value, most)) {
            bool kind = steps.empty() || ((step->v == no_node) == (steps[0].v == no_node));
            if (!kind || !is_maximum(*step) || !is_of_type(graph_, *step, graph_.type(last))) {
                break;
            }
            steps.push_back(*step);
            value = step->old;
            most = step->m_old;
            complete = is_zero(graph_, value) && is_low(graph_, most);
        }
        if (steps.empty() || is_continued(last, steps.front().m_new)) {
            return Failure::Absent;
        }
        if (!complete && !add_first(value, most, steps)) {
            return Failure::Start;
        }
        if (graph_.type(steps[0].s).dtype != DType::F32) {
            return Failure::Types;
        }
        std::reverse(steps.begin(), steps.end());
        bool alike = std::all_of(steps.begin(), steps.end(), [&](const Step &step) {
            return are_alike(graph_, step, steps.front());
        });
        if (!alike) {
            return Failure::Operation;
        }
        try {
            BlockJoin join(graph_, static_cast<int64_t>(steps.size()));
            whole_ = join_products(graph_, join, steps);
        } catch (Unjoined why) {
            return failure_of(why);
        }
        return Failure::None;
    }

    /// Whether the step's maximum is that of its block and of what went before.
    bool is_maximum(const Step &step) const {
        if (is_low(graph_, step.m_old) && is_rowmax(step.m_new, step.s)) {
            return true;
        }
        return graph_.op(step.m_new) == maximum_step().root_op() &&
               maximum_step().match(graph_, step.m_new, [&](const Match &m) {
                   return m["m_old"] == step.m_old && m["s"] == step.s;
               });
    }

    bool is_rowmax(Value most, Value s) const {
        return graph_.op(most) == static_cast<rewrite::OpId>(Op::Rowmax) &&
               graph_.operands(most)[0] == s;
    }

    /// The first block without anything before it: rowsum(p), p @ v.
    bool add_first(Value value, Value most, std::vector<Step> &steps) const {
        static const Matcher sum(rowsum(exp(sub(any("s"), any("m_new")))));
        static const Matcher product(
            of(Op::Matmul, {either({exp(sub(any("s"), any("m_new"))),
                                    of(Op::Cast, {exp(sub(any("s"), any("m_new")))}).as("narrow")}),
                            any("v")})
                .as("product"));
        const Matcher &matcher = steps[0].v == no_node ? sum : product;
        return graph_.op(value) == matcher.root_op() &&
               matcher.match(graph_, value, [&](const Match &m) {
                   if (m["m_new"] != most || !is_rowmax(most, m["s"])) {
                       return false;
                   }
                   steps.push_back({no_node, no_node, most, m["s"], captured(m, "v"),
                                    captured(m, "narrow"), captured(m, "product")});
                   return true;
               });
    }

    /// Whether another block rescales `last`.
    bool is_continued(Value last, Value most) const {
        static const Matcher rescale(mul(any("last"), exp(sub(any("most"), any("next")))));
        const std::vector<const Node *> users = graph_.users(last);
        return std::any_of(users.begin(), users.end(), [&](const Node *user) {
            return user->op == Op::Mul &&
                   rescale.match(graph_, user->results[0], [&](const Match &m) {
                       return m["last"] == last && m["most"] == most;
                   });
        });
    }

    const TileGraph &graph_;
    Whole whole_;
    Failure failure_;
};

/// Each failure is a condition of its own, with its reason.
template <typename Analysis> TileRule with_reasons(TileRule rule) {
    const std::pair<Failure, const char *> reasons[] = {
        {Failure::Absent, ""},
        {Failure::Stores, "the body stores what other iterations could read"},
        {Failure::Iterations, "how many blocks there are is known at run time only"},
        {Failure::Others, "more is carried than the maximum, its sums and its products"},
        {Failure::Types, "only scores of f32 are taken together"},
        {Failure::Start, "the maximum does not start at -inf, or at -1e30 or less, or a sum or "
                         "product not at 0"},
        {Failure::Carried, "a block of scores or values depends on other blocks"},
        {Failure::Window, "the blocks are no neighbouring windows of a tile that is only read"},
        {Failure::Operation, "an operation does not work on each block by itself"},
    };
    for (const auto &[failure, reason] : reasons) {
        rule = std::move(rule).when(reason,
                                    [failure = failure](const TileGraph &graph, const Match &m) {
                                        return Analysis(graph, m.root()).failure() != failure;
                                    });
    }
    return rule;
}

rewrite::Rule blocks_in_line(const Pattern &step) {
    return with_reasons<OnlineLine>(TileRule("online-softmax", step))
        .to([](TileRebuild &to, const Match &m) {
            return OnlineLine(to.old(), m.root()).build_result(to);
        });
}

/// maximum(maximum(rowmax(s_0), rowmax(s_1)), rowmax(s_2)) --> rowmax(s)
class MaximumLine {
public:
    MaximumLine(const TileGraph &graph, Value last) : graph_(graph) {
        std::vector<Value> blocks;
        Value value = last;
        auto accept = [&](const Match &m) {
            blocks.push_back(m["s"]);
            value = m["m_old"];
            return true;
        };
        while (graph.op(value) == maximum_step().root_op() &&
               maximum_step().match(graph, value, accept)) {
        }
        if (graph.op(value) == static_cast<rewrite::OpId>(Op::Rowmax)) {
            blocks.push_back(graph.operands(value)[0]);
        } else {
            return;
        }
        std::reverse(blocks.begin(), blocks.end());
        try {
            scores_ =
                BlockJoin(graph, static_cast<int64_t>(blocks.size())).join(blocks, Axis::Columns);
            failure_ = is_continued(last) ? Failure::Absent : Failure::None;
        } catch (Unjoined) {
            failure_ = Failure::Absent;
        }
    }

    Failure failure() const { return failure_; }
    Value build_result(TileRebuild &to) const { return to.op(Op::Rowmax, {build(to, scores_)}); }

private:
    bool is_continued(Value last) const {
        const std::vector<const Node *> users = graph_.users(last);
        return std::any_of(users.begin(), users.end(), [&](const Node *user) {
            return user->op == Op::Maximum &&
                   maximum_step().match(graph_, user->results[0],
                                        [&](const Match &m) { return m["m_old"] == last; });
        });
    }

    const TileGraph &graph_;
    JoinedPtr scores_;
    Failure failure_ = Failure::Absent;
};

rewrite::Table make_table() {
    std::vector<rewrite::Rule> rules;
    rules.push_back(with_reasons<OnlineLoop>(
                        TileRule("online-softmax", of(Op::ForiLoop, {any("lo"), any("hi")})))
                        .to([](TileRebuild &to, const Match &m) {
                            return OnlineLoop(to.old(), m.root()).build_results(to);
                        }));
    rules.push_back(blocks_in_line(add(any("a"), any("b"))));
    rules.push_back(blocks_in_line(of(Op::Matmul, {any("p"), any("v"), any("acc")})));
    rules.push_back(TileRule("maximum-of-blocks", maximum(any("m"), rowmax(any("s"))))
                        .when("",
                              [](const TileGraph &graph, const Match &m) {
                                  return MaximumLine(graph, m.root()).failure() == Failure::None;
                              })
                        .to([](TileRebuild &to, const Match &m) {
                            return MaximumLine(to.old(), m.root()).build_result(to);
                        }));
    return {"online", std::move(rules)};
}

}  // namespace

const rewrite::Table &online_rules() {
    static const rewrite::Table table = make_table();
    return table;
}

}  // namespace pto::wsp::kernel
