#include "schedule/argument.h"

#include <algorithm>
#include <cmath>

#include "pto/wsp/support/text.h"

namespace pto::wsp::schedule {

namespace {

bool all_at_least_one(const std::vector<int64_t> &counts) {
    return !counts.empty() && std::ranges::all_of(counts, [](int64_t count) { return count >= 1; });
}

/// True when `value` is one that an argument of the kind may have.
bool fits(ArgumentKind kind, const Argument &value) {
    const auto integer = [&](int64_t low, int64_t high) {
        const auto *number = std::get_if<int64_t>(&value);
        return number != nullptr && *number >= low && *number <= high;
    };
    switch (kind) {
    case ArgumentKind::None:
        return false;
    case ArgumentKind::Count:
        return integer(1, INT64_MAX);
    case ArgumentKind::Share:
        return integer(0, INT64_MAX);
    case ArgumentKind::Size:
        return integer(1, INT64_MAX);
    case ArgumentKind::Rate: {
        const auto *rate = std::get_if<double>(&value);
        return rate != nullptr && std::isfinite(*rate) && *rate > 0;
    }
    case ArgumentKind::Flag:
        return std::holds_alternative<bool>(value);
    case ArgumentKind::Unit: {
        const auto *unit = std::get_if<std::string>(&value);
        return unit != nullptr && (*unit == "tasks" || *unit == "bytes");
    }
    case ArgumentKind::Key: {
        const auto *keys = std::get_if<std::vector<ScalarExpr>>(&value);
        return keys != nullptr && keys->size() == 1;
    }
    case ArgumentKind::Keys: {
        const auto *keys = std::get_if<std::vector<ScalarExpr>>(&value);
        return keys != nullptr && !keys->empty();
    }
    case ArgumentKind::Counts: {
        const auto *counts = std::get_if<std::vector<int64_t>>(&value);
        return counts != nullptr && all_at_least_one(*counts);
    }
    case ArgumentKind::Edges:
        return std::holds_alternative<std::vector<Edge>>(value);
    case ArgumentKind::Kernels: {
        const auto *kernels = std::get_if<std::map<std::string, int64_t>>(&value);
        return kernels != nullptr && !kernels->empty() &&
               std::ranges::all_of(*kernels, [](const auto &pool) { return pool.second >= 0; });
    }
    }
    return false;
}

std::optional<Argument> integer_of(const Json &json) {
    if (!json.is_number_integer() ||
        (json.is_number_unsigned() && json.get<uint64_t>() > INT64_MAX)) {
        return std::nullopt;
    }
    return Argument(json.get<int64_t>());
}

std::optional<Argument> keys_of(const Json &json, const std::string &origin) {
    const Json list = json.is_array() ? json : Json::array({json});
    std::vector<ScalarExpr> keys;
    for (const Json &text : list) {
        if (!text.is_string()) {
            return std::nullopt;
        }
        keys.push_back(ScalarExpr::parse(text.get<std::string>(), origin));
    }
    return Argument(std::move(keys));
}

std::optional<Argument> counts_of(const Json &json) {
    if (!json.is_array()) {
        return std::nullopt;
    }
    std::vector<int64_t> counts;
    for (const Json &item : json) {
        const auto number = integer_of(item);
        if (!number) {
            return std::nullopt;
        }
        counts.push_back(std::get<int64_t>(*number));
    }
    return Argument(std::move(counts));
}

std::optional<Argument> edges_of(const Json &json, const std::string &origin) {
    if (!json.is_array()) {
        return std::nullopt;
    }
    std::vector<Edge> edges;
    for (const Json &item : json) {
        const bool texts = item.is_array() && item.size() == 4 &&
                           std::ranges::all_of(item, [](const Json &j) { return j.is_string(); });
        if (!texts) {
            return std::nullopt;
        }
        edges.push_back({item[0].get<std::string>(), item[1].get<std::string>(),
                         ScalarExpr::parse(item[2].get<std::string>(), origin),
                         ScalarExpr::parse(item[3].get<std::string>(), origin)});
    }
    return Argument(std::move(edges));
}

std::optional<Argument> kernels_of(const Json &json) {
    if (!json.is_object()) {
        return std::nullopt;
    }
    std::map<std::string, int64_t> kernels;
    for (const auto &[name, pool] : json.items()) {
        const auto number = integer_of(pool);
        if (!number) {
            return std::nullopt;
        }
        kernels.emplace(name, std::get<int64_t>(*number));
    }
    return Argument(std::move(kernels));
}

}  // namespace

std::string expected(const ArgumentRow &row) {
    switch (row.kind) {
    case ArgumentKind::None:
        break;
    case ArgumentKind::Count:
    case ArgumentKind::Size:
        return "an integer >= 1";
    case ArgumentKind::Share:
        return "an integer >= 1, or left out";
    case ArgumentKind::Rate:
        return "a number > 0";
    case ArgumentKind::Flag:
        return "true or false";
    case ArgumentKind::Unit:
        return "\"tasks\" or \"bytes\"";
    case ArgumentKind::Key:
        return "an expression in quotes";
    case ArgumentKind::Keys:
        return "an expression in quotes, or a list of these";
    case ArgumentKind::Counts:
        return "a list of integers >= 1";
    case ArgumentKind::Edges:
        return "a list of edges [before, after, key of before, key of after]";
    case ArgumentKind::Kernels:
        return "numbers of pools by the names of kernels";
    }
    return "nothing";
}

std::string misfit(const ArgumentRow &row, const Argument &value) {
    return fits(row.kind, value) ? "" : expected(row);
}

std::optional<Argument> fallback(const ArgumentRow &row) {
    switch (row.kind) {
    case ArgumentKind::Share:
        return Argument(int64_t{0});
    case ArgumentKind::Flag:
        return Argument(false);
    case ArgumentKind::Unit:
        return Argument(std::string("tasks"));
    case ArgumentKind::Count:
        return row.fallback > 0 ? std::optional(Argument(row.fallback)) : std::nullopt;
    default:
        return std::nullopt;
    }
}

std::optional<Argument> argument_of(const ArgumentRow &row, const Json &json,
                                    const std::string &origin) {
    switch (row.kind) {
    case ArgumentKind::None:
        return std::nullopt;
    case ArgumentKind::Count:
    case ArgumentKind::Size:
    case ArgumentKind::Share:
        return integer_of(json);
    case ArgumentKind::Rate:
        return json.is_number() ? std::optional(Argument(json.get<double>())) : std::nullopt;
    case ArgumentKind::Flag:
        return json.is_boolean() ? std::optional(Argument(json.get<bool>())) : std::nullopt;
    case ArgumentKind::Unit:
        return json.is_string() ? std::optional(Argument(json.get<std::string>())) : std::nullopt;
    case ArgumentKind::Key:
    case ArgumentKind::Keys:
        return keys_of(json, origin);
    case ArgumentKind::Counts:
        return counts_of(json);
    case ArgumentKind::Edges:
        return edges_of(json, origin);
    case ArgumentKind::Kernels:
        return kernels_of(json);
    }
    return std::nullopt;
}

Json json_of(const Argument &value) {
    if (const auto *keys = std::get_if<std::vector<ScalarExpr>>(&value)) {
        Json list = Json::array();
        for (const ScalarExpr &key : *keys) {
            list.push_back(key.str());
        }
        return keys->size() == 1 ? list[0] : list;
    }
    if (const auto *edges = std::get_if<std::vector<Edge>>(&value)) {
        Json list = Json::array();
        for (const Edge &edge : *edges) {
            list.push_back(Json::array(
                {edge.before, edge.after, edge.before_key.str(), edge.after_key.str()}));
        }
        return list;
    }
    return std::visit(
        [](const auto &plain) -> Json {
            if constexpr (requires { Json(plain); }) {
                return Json(plain);
            } else {
                return Json();
            }
        },
        value);
}

std::string text_of(const Argument &value) {
    if (const auto *flag = std::get_if<bool>(&value)) {
        return *flag ? "True" : "False";
    }
    if (const auto *rate = std::get_if<double>(&value)) {
        return number_text(*rate);
    }
    const Json json = json_of(value);
    if (!json.is_array() && !json.is_object()) {
        return canonical_json(json);
    }
    std::vector<std::string> parts;
    for (const auto &[key, item] : json.items()) {
        std::string text = canonical_json(item);
        if (item.is_array()) {
            std::vector<std::string> inner;
            for (const Json &part : item) {
                inner.push_back(canonical_json(part));
            }
            text = "[" + join(inner) + "]";
        }
        parts.push_back(json.is_object() ? quoted(key) + ": " + text : text);
    }
    return json.is_object() ? "{" + join(parts) + "}" : "[" + join(parts) + "]";
}

}  // namespace pto::wsp::schedule
