#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <utility>
#include <variant>

#include "pto/wsp/core/dtype.h"

namespace pto::wsp::kernel {

/// A number as the user wrote it: `2` is an integer, `2.0` is not.
class Number {
public:
    template <std::integral T>
    requires(!std::same_as<T, bool>) Number(T value) {  // NOLINT: numbers are numbers
        if (std::in_range<int64_t>(value)) {
            value_ = static_cast<int64_t>(value);
        } else {
            value_ = static_cast<uint64_t>(value);
        }
    }
    template <std::floating_point T>
    Number(T value) : value_(static_cast<double>(value)) {}  // NOLINT: numbers are numbers

    bool is_integer() const { return !std::holds_alternative<double>(value_); }
    /// Of an integer: whether only U64 has it.
    bool is_past_i64() const { return std::holds_alternative<uint64_t>(value_); }
    /// Of an integer: its low 64 bits.
    int64_t integer() const {
        return is_past_i64() ? static_cast<int64_t>(std::get<uint64_t>(value_))
                             : std::get<int64_t>(value_);
    }
    /// Whether the integer type `dtype` has it.
    bool fits(DType dtype) const;
    /// The nearest double.
    double real() const;
    std::string str() const;  ///< `2`, `0.5`

private:
    std::variant<int64_t, uint64_t, double> value_;
};

/// The integers that an integer type has: `-128 to 127`.
std::string range_text(DType dtype);

}  // namespace pto::wsp::kernel
