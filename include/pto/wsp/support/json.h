#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace pto::wsp {

using Json = nlohmann::json;

/// One text for one value: keys sorted, no white space, shortest round-trip numbers.
std::string canonical_json(const Json &value);

/// Parses `text`; IRConversionError `origin:line: ...` when it is not JSON, has a duplicate key, or
/// nests deeper than 256.
Json parse_json(std::string_view text, const std::string &origin);

}  // namespace pto::wsp
