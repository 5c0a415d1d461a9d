#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace pto::wsp {

/// A JSON value; objects keep their keys sorted.
using Json = nlohmann::json;

/// Nesting that both functions accept; beyond it they throw.
inline constexpr int max_json_depth = 256;

/// One text for one value: keys sorted, no white space, shortest round-trip numbers; a float stays
/// a float (`1.0`). IRConversionError for what JSON cannot say: nan, infinities, binary values,
/// strings that are not UTF-8.
std::string canonical_json(const Json &value);

/// Parses `text`; IRConversionError `origin:line: ...` when it is not JSON, has a duplicate key, or
/// nests deeper than `max_json_depth`.
Json parse_json(std::string_view text, const std::string &origin);

}  // namespace pto::wsp
