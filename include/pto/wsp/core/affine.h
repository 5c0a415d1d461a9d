#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "pto/wsp/support/text.h"

namespace pto::wsp {

/// An integer expression `c0 + c1*v1 + ...` over named variables (loop variables, Symbols).
/// Canonical: no zero coefficient, names sorted. Prints as `2*i + j + 1` and parses back.
/// Arithmetic that leaves 64 bits throws CompileError.
class Affine {
public:
    Affine(int64_t constant = 0) : constant_(constant) {}  // NOLINT: integers are expressions
    /// `coefficient * name`; CompileError when `name` is no identifier.
    static Affine variable(const std::string &name, int64_t coefficient = 1);

    int64_t constant() const { return constant_; }
    const std::map<std::string, int64_t> &terms() const { return terms_; }
    /// Zero for a variable that does not occur.
    int64_t coefficient(const std::string &name) const;
    bool is_constant() const { return terms_.empty(); }
    /// The value when constant.
    std::optional<int64_t> as_constant() const;

    Affine operator+(const Affine &other) const;
    Affine operator-(const Affine &other) const;
    Affine operator*(int64_t factor) const;
    bool operator==(const Affine &) const = default;
    auto operator<=>(const Affine &) const = default;

    /// Each variable replaced by what `lookup` gives (or kept when it gives nothing).
    Affine substitute(const std::map<std::string, Affine> &values) const;
    /// The value with all variables given; CompileError naming the first one that is not.
    int64_t evaluate(const std::map<std::string, int64_t> &values) const;

    std::string str() const;
    /// Reads terms joined by `+` and `-`: `3`, `i`, `2*i`, `i*2`. Stops at what continues none.
    static Affine parse(TextReader &reader);

private:
    void add_term(const std::string &name, int64_t coefficient);

    int64_t constant_ = 0;
    std::map<std::string, int64_t> terms_;
};

}  // namespace pto::wsp
