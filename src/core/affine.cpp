#include "pto/wsp/core/affine.h"

#include "pto/wsp/support/error.h"

namespace pto::wsp {

namespace {

[[noreturn]] void overflow(int64_t a, const char *op, int64_t b) {
    throw CompileError({}, "integer overflow: " + std::to_string(a) + " " + op + " " +
                               std::to_string(b) + " does not fit 64 bits");
}

int64_t checked_add(int64_t a, int64_t b) {
    int64_t sum = 0;
    if (__builtin_add_overflow(a, b, &sum)) {
        overflow(a, "+", b);
    }
    return sum;
}

int64_t checked_subtract(int64_t a, int64_t b) {
    int64_t difference = 0;
    if (__builtin_sub_overflow(a, b, &difference)) {
        overflow(a, "-", b);
    }
    return difference;
}

int64_t checked_multiply(int64_t a, int64_t b) {
    int64_t product = 0;
    if (__builtin_mul_overflow(a, b, &product)) {
        overflow(a, "*", b);
    }
    return product;
}

/// `|value|`, also of -2^63.
std::string magnitude(int64_t value) {
    auto bits = static_cast<uint64_t>(value);
    return std::to_string(value < 0 ? 0 - bits : bits);
}

/// An integer whose sign, already consumed, is `negative`.
int64_t signed_integer(TextReader &reader, bool negative) {
    if (reader.peek().kind != Token::Kind::Integer) {
        reader.fail("an integer");
    }
    Loc at = reader.loc();
    std::string text = (negative ? "-" : "") + reader.next().text;
    return TextReader(text, at.file).integer();
}

}  // namespace

void Affine::add_term(const std::string &name, int64_t coefficient) {
    auto [term, added] = terms_.try_emplace(name, coefficient);
    if (!added) {
        term->second = checked_add(term->second, coefficient);
    }
    if (term->second == 0) {
        terms_.erase(term);
    }
}

Affine Affine::variable(const std::string &name, int64_t coefficient) {
    if (!is_identifier(name)) {
        throw CompileError({}, "not a variable name: " + quoted(name));
    }
    Affine result;
    result.add_term(name, coefficient);
    return result;
}

int64_t Affine::coefficient(const std::string &name) const {
    auto term = terms_.find(name);
    return term == terms_.end() ? 0 : term->second;
}

std::optional<int64_t> Affine::as_constant() const {
    return is_constant() ? std::optional(constant_) : std::nullopt;
}

Affine Affine::operator+(const Affine &other) const {
    Affine result = *this;
    result.constant_ = checked_add(constant_, other.constant_);
    for (const auto &[name, coefficient] : other.terms_) {
        result.add_term(name, coefficient);
    }
    return result;
}

Affine Affine::operator-(const Affine &other) const {
    // Not `+ other * -1`: that overflows for -2^63 although the difference may fit.
    Affine result = *this;
    result.constant_ = checked_subtract(constant_, other.constant_);
    for (const auto &[name, coefficient] : other.terms_) {
        int64_t difference = checked_subtract(result.coefficient(name), coefficient);
        result.terms_.erase(name);
        result.add_term(name, difference);
    }
    return result;
}

Affine Affine::operator*(int64_t factor) const {
    Affine result(checked_multiply(constant_, factor));
    for (const auto &[name, coefficient] : terms_) {
        result.add_term(name, checked_multiply(coefficient, factor));
    }
    return result;
}

Affine Affine::substitute(const std::map<std::string, Affine> &values) const {
    Affine result(constant_);
    for (const auto &[name, coefficient] : terms_) {
        auto value = values.find(name);
        if (value == values.end()) {
            result.add_term(name, coefficient);
        } else {
            result = result + value->second * coefficient;
        }
    }
    return result;
}

int64_t Affine::evaluate(const std::map<std::string, int64_t> &values) const {
    int64_t sum = constant_;
    for (const auto &[name, coefficient] : terms_) {
        auto value = values.find(name);
        if (value == values.end()) {
            throw CompileError({}, "no value for '" + name + "' in " + str());
        }
        sum = checked_add(sum, checked_multiply(coefficient, value->second));
    }
    return sum;
}

std::string Affine::str() const {
    std::string text;
    auto append = [&](int64_t value, const std::string &variable) {
        if (text.empty()) {
            text = value < 0 ? "-" : "";
        } else {
            text += value < 0 ? " - " : " + ";
        }
        bool unit = !variable.empty() && (value == 1 || value == -1);
        if (!unit) {
            text += magnitude(value) + (variable.empty() ? "" : "*");
        }
        text += variable;
    };
    for (const auto &[name, coefficient] : terms_) {
        append(coefficient, name);
    }
    if (constant_ != 0 || terms_.empty()) {
        append(constant_, "");
    }
    return text;
}

Affine Affine::parse(TextReader &reader) {
    Affine result;
    bool negative = reader.accept("-");
    while (true) {
        if (reader.peek().kind == Token::Kind::Integer) {
            int64_t number = signed_integer(reader, negative);
            result = result +
                     (reader.accept("*") ? variable(reader.identifier(), number) : Affine(number));
        } else if (reader.peek().kind == Token::Kind::Identifier) {
            std::string name = reader.identifier();
            int64_t number = negative ? -1 : 1;
            if (reader.accept("*")) {
                number = signed_integer(reader, negative != reader.accept("-"));
            }
            result = result + variable(name, number);
        } else {
            reader.fail("an integer or a variable");
        }
        negative = reader.is_next("-");
        if (!reader.accept("-") && !reader.accept("+")) {
            return result;
        }
    }
}

}  // namespace pto::wsp
