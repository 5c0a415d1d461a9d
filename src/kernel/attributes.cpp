#include "attributes.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "pto/wsp/support/error.h"
#include "pto/wsp/support/text.h"

namespace pto::wsp::kernel {

namespace {

enum class Kind { Flag, Dim, DType, Param, Number, Text };

/// What a row says about one attribute: `rows`, `columns=1`, `trans_a=false`, `rows?`.
struct Entry {
    std::string name;
    std::string fallback;
    bool required = false;
    Kind kind = Kind::Flag;
};

/// Attributes that are not flags are known by their names.
Kind kind_of(const std::string &name) {
    static const std::array<std::pair<const char *, Kind>, 9> kinds = {{{"rows", Kind::Dim},
                                                                        {"columns", Kind::Dim},
                                                                        {"k", Kind::Dim},
                                                                        {"dtype", Kind::DType},
                                                                        {"label", Kind::Text},
                                                                        {"place", Kind::Text},
                                                                        {"param", Kind::Param},
                                                                        {"value", Kind::Number},
                                                                        {"eps", Kind::Number}}};
    for (const auto &[known, kind] : kinds) {
        if (name == known) {
            return kind;
        }
    }
    return Kind::Flag;
}

void add_entries(std::vector<Entry> &entries, std::string_view text) {
    while (!text.empty()) {
        size_t comma = text.find(',');
        std::string_view part = text.substr(0, comma);
        part.remove_prefix(part.find_first_not_of(' '));
        Entry entry;
        size_t equal = part.find('=');
        if (equal != std::string_view::npos) {
            entry.fallback = part.substr(equal + 1);
        }
        entry.name = part.substr(0, part.find_first_of("=?"));
        entry.kind = kind_of(entry.name);
        entry.required = part.back() != '?' && entry.kind != Kind::Flag;
        entries.push_back(std::move(entry));
        text = comma == std::string_view::npos ? "" : text.substr(comma + 1);
    }
}

const std::vector<Entry> &entries_of(const OpInfo &row) {
    static const std::vector<std::vector<Entry>> all = [] {
        std::vector<std::vector<Entry>> made;
        for (const OpInfo &each : ops()) {
            made.emplace_back();
            add_entries(made.back(), each.attributes);
            add_entries(made.back(), each.promises);
        }
        return made;
    }();
    return all[static_cast<size_t>(row.op)];
}

/// What an attribute of this kind must be, or null when it is.
const char *wanted(Kind kind, const Attribute &value) {
    switch (kind) {
    case Kind::Flag:
        return std::holds_alternative<bool>(value) ? nullptr : "true or false";
    case Kind::Dim:
        return std::holds_alternative<Affine>(value) ? nullptr : "a dim";
    case Kind::DType:
        return std::holds_alternative<std::string>(value) ? nullptr : "the name of a dtype";
    case Kind::Param:
        return std::holds_alternative<int64_t>(value) ? nullptr : "the index of a parameter";
    case Kind::Text:
        return std::holds_alternative<std::string>(value) ? nullptr : "a text";
    case Kind::Number:
        break;
    }
    bool number = std::holds_alternative<double>(value) || std::holds_alternative<int64_t>(value);
    return number ? nullptr : "a number";
}

}  // namespace

void normalise_attributes(const OpInfo &row, Attributes &attributes, const Loc &at) {
    for (const Entry &entry : entries_of(row)) {
        auto it = attributes.find(entry.name);
        if (it == attributes.end()) {
            if (entry.kind == Kind::Dim && !entry.fallback.empty()) {
                attributes.emplace(entry.name, Affine(std::stoll(entry.fallback)));
            }
            continue;
        }
        const auto *integer = std::get_if<int64_t>(&it->second);
        if (entry.kind == Kind::Dim && integer != nullptr) {
            it->second = Affine(*integer);
        }
        const bool *set = std::get_if<bool>(&it->second);
        if (entry.kind == Kind::Flag && set != nullptr && !*set) {
            attributes.erase(it);
        }
    }
    check_attributes(row, attributes, at);
}

void check_attributes(const OpInfo &row, const Attributes &attributes, const Loc &at) {
    const std::vector<Entry> &entries = entries_of(row);
    for (const auto &[name, value] : attributes) {
        auto entry = std::find_if(entries.begin(), entries.end(),
                                  [&, &wanted = name](const Entry &e) { return e.name == wanted; });
        if (entry == entries.end()) {
            std::string known = row.attributes;
            throw TypeCheckError(at, fmt::format("{}: there is no attribute '{}'", row.name, name),
                                 {},
                                 known.empty() ? fmt::format("{} has no attributes", row.name)
                                               : "attributes: " + known);
        }
        if (const char *kind = wanted(entry->kind, value)) {
            throw TypeCheckError(at, fmt::format("{}: '{}' is {}, expected {}", row.name, name,
                                                 attribute_text(value), kind));
        }
    }
    for (const Entry &entry : entries) {
        if (entry.required && attributes.count(entry.name) == 0) {
            throw TypeCheckError(
                at, fmt::format("{}: the attribute '{}' is missing", row.name, entry.name));
        }
    }
}

}  // namespace pto::wsp::kernel
