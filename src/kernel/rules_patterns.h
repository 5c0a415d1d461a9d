#pragma once

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <utility>
#include <vector>

#include "pto/wsp/kernel/op.h"
#include "rules_graph.h"

/// Patterns and conditions of the tile rules.
namespace pto::wsp::kernel::pattern {

using rewrite::any;
using rewrite::constant;
using rewrite::either;
using rewrite::it;
using rewrite::Match;
using rewrite::maybe;
using rewrite::optional;
using rewrite::Pattern;
using rewrite::same;

inline Pattern of(Op op, std::initializer_list<Pattern> operands) {
    return rewrite::op(static_cast<rewrite::OpId>(op), operands);
}

/// `leaf` for each of `arity` operands, captured as a, b, c...
inline std::vector<Pattern> operands_of(int arity, Pattern (*leaf)(std::string)) {
    std::vector<Pattern> operands(static_cast<size_t>(arity));
    char name = 'a';
    for (Pattern &operand : operands) {
        operand = leaf(std::string(1, name++));
    }
    return operands;
}

inline Pattern add(Pattern a, Pattern b) {
    return of(Op::Add, {std::move(a), std::move(b)}).commutative();
}
inline Pattern sub(Pattern a, Pattern b) {
    return of(Op::Sub, {std::move(a), std::move(b)});
}
inline Pattern mul(Pattern a, Pattern b) {
    return of(Op::Mul, {std::move(a), std::move(b)}).commutative();
}
inline Pattern div(Pattern a, Pattern b) {
    return of(Op::Div, {std::move(a), std::move(b)});
}
inline Pattern maximum(Pattern a, Pattern b) {
    return of(Op::Maximum, {std::move(a), std::move(b)}).commutative();
}
inline Pattern exp(Pattern x) {
    return of(Op::Exp, {std::move(x)});
}
inline Pattern neg(Pattern x) {
    return of(Op::Neg, {std::move(x)});
}
inline Pattern rowsum(Pattern x) {
    return of(Op::Rowsum, {std::move(x)});
}
inline Pattern rowmax(Pattern x) {
    return of(Op::Rowmax, {std::move(x)});
}
inline Pattern transpose(Pattern x) {
    return of(Op::Transpose, {std::move(x)});
}
inline Pattern where(Pattern mask, Pattern a, Pattern b) {
    return of(Op::Where, {std::move(mask), std::move(a), std::move(b)});
}

/// What raises the maximum of a row that is masked out whole.
inline constexpr double lowest_f32 = std::numeric_limits<float>::lowest();
inline constexpr double lowest_f64 = std::numeric_limits<double>::lowest();

using Predicate = TileRule::Predicate;

/// The capture has the type of the whole, so that it can take its place.
inline Predicate has_type_of_root(const char *capture) {
    return [capture](const TileGraph &graph, const Match &m) {
        return graph.type(m[capture]) == graph.type(m.root());
    };
}

/// `op` on the captures makes the type of the whole.
inline Predicate makes_type_of_root(Op op, std::vector<const char *> captures) {
    return [op, captures = std::move(captures)](const TileGraph &graph, const Match &m) {
        std::vector<TileType> types;
        for (const char *capture : captures) {
            types.push_back(graph.type(m[capture]));
        }
        const OpInfo &row = info(op);
        return row.infer(row, types, {}, {}) == graph.type(m.root());
    };
}

inline bool is_integer_root(const TileGraph &graph, const Match &m) {
    return is_integer(graph.type(m.root()).dtype);
}

/// Each of the captures is a tile of f32.
inline Predicate are_f32(std::vector<const char *> captures) {
    return [captures = std::move(captures)](const TileGraph &graph, const Match &m) {
        return std::all_of(captures.begin(), captures.end(), [&](const char *capture) {
            return graph.type(m[capture]).dtype == DType::F32;
        });
    };
}

/// The optional capture is absent.
inline Predicate is_absent(const char *capture) {
    return [capture](const TileGraph &, const Match &m) { return !m.has(capture); };
}

/// A boolean attribute is not set.
inline Predicate is_unset(const char *capture, const char *attribute) {
    return [capture, attribute](const TileGraph &graph, const Match &m) {
        return !graph.flag(m[capture], attribute);
    };
}

/// Replaces the whole by the capture.
inline TileRule::Replacement by(const char *capture) {
    return [capture](TileRebuild &to, const Match &m) { return to(m[capture]); };
}

}  // namespace pto::wsp::kernel::pattern
