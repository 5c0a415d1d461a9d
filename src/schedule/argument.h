#pragma once

#include <string>

#include "schedule/policy_table.h"

namespace pto::wsp::schedule {

/// What is wrong with `value` as an argument of `row`, after "must be"; empty when nothing is.
std::string misfit(const ArgumentRow &row, const Argument &value);

/// The value of an argument that is left out; none when it must be given.
std::optional<Argument> fallback(const ArgumentRow &row);

/// The value that `json` holds; none when it is of another kind. IRConversionError for a text that
/// is no expression.
std::optional<Argument> argument_of(const ArgumentRow &row, const Json &json,
                                    const std::string &origin);

/// What an argument of that kind must be: "an integer >= 1".
std::string expected(const ArgumentRow &row);

/// The inverse of `argument_of`.
Json json_of(const Argument &value);

/// As it is written in a call: `4`, `"h % 2"`, `["load", "compute", "i", "i"]`.
std::string text_of(const Argument &value);

}  // namespace pto::wsp::schedule
