#include "pto/wsp/rewrite/pattern.h"

#include <utility>

#include "pto/wsp/support/error.h"
#include "pto/wsp/support/text.h"

namespace pto::wsp::rewrite {

Pattern Pattern::as(std::string capture) && {
    name = std::move(capture);
    return std::move(*this);
}

Pattern Pattern::commutative() && {
    any_order = true;
    return std::move(*this);
}

std::string Pattern::str() const {
    auto list = [&] {
        std::vector<std::string> texts;
        for (const Pattern &operand : operands) {
            texts.push_back(operand.str());
        }
        return "(" + join(texts) + ")";
    };
    switch (kind) {
    case Kind::Any:
        return "any(" + name + ")";
    case Kind::Same:
        return "same(" + name + ")";
    case Kind::Constant:
        return "constant(" + (value ? number_text(*value) : name) + ")";
    case Kind::Op:
        return "#" + std::to_string(op) + list() + (name.empty() ? "" : ".as(" + name + ")");
    case Kind::Either:
        return "either" + list();
    case Kind::MaybeAbsent:
        return "maybe(" + name + ")";
    case Kind::Hole:
        return "it()";
    }
    return "";
}

namespace {

Pattern make(Pattern::Kind kind, std::string name) {
    Pattern pattern;
    pattern.kind = kind;
    pattern.name = std::move(name);
    return pattern;
}

Pattern fill(const Pattern &wrapper, const Pattern &inner) {
    if (wrapper.kind == Pattern::Kind::Hole) {
        return inner;
    }
    Pattern filled = wrapper;
    for (Pattern &operand : filled.operands) {
        operand = fill(operand, inner);
    }
    return filled;
}

}  // namespace

Pattern any(std::string name) {
    return make(Pattern::Kind::Any, std::move(name));
}
Pattern same(std::string name) {
    return make(Pattern::Kind::Same, std::move(name));
}
Pattern constant(std::string name) {
    return make(Pattern::Kind::Constant, std::move(name));
}
Pattern maybe(std::string name) {
    return make(Pattern::Kind::MaybeAbsent, std::move(name));
}
Pattern it() {
    return make(Pattern::Kind::Hole, "");
}

Pattern constant(double value) {
    Pattern pattern = make(Pattern::Kind::Constant, "");
    pattern.value = value;
    return pattern;
}

Pattern op(OpId op, std::vector<Pattern> operands) {
    Pattern pattern = make(Pattern::Kind::Op, "");
    pattern.op = op;
    pattern.operands = std::move(operands);
    return pattern;
}

Pattern either(std::vector<Pattern> patterns) {
    Pattern pattern = make(Pattern::Kind::Either, "");
    pattern.operands = std::move(patterns);
    return pattern;
}

Pattern optional(const Pattern &wrapper, const Pattern &inner) {
    return either({fill(wrapper, inner), inner});
}

}  // namespace pto::wsp::rewrite
