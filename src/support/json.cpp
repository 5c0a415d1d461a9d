#include "pto/wsp/support/json.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <set>
#include <vector>

#include "pto/wsp/support/error.h"
#include "pto/wsp/support/text.h"

namespace pto::wsp {

namespace {

std::string json_float(double value) {
    if (!std::isfinite(value)) {
        throw IRConversionError({}, "json has no number " + number_text(value));
    }
    std::string text = number_text(value);
    // Without a point or exponent it would read back as an integer.
    return text.find_first_of(".e") == std::string::npos ? text + ".0" : text;
}

std::string json_string(const std::string &value) {
    if (!is_utf8(value)) {
        throw IRConversionError({}, "json text is utf-8, and a string of " +
                                        std::to_string(value.size()) + " bytes is not");
    }
    return quoted(value);
}

void write(const Json &value, int depth, std::string &out);

template <class Range, class WriteItem>
void write_list(char open, char close, const Range &items, std::string &out, WriteItem write_item) {
    out += open;
    bool first = true;
    for (auto item = items.begin(); item != items.end(); ++item) {
        if (!first) {
            out += ',';
        }
        first = false;
        write_item(item);
    }
    out += close;
}

void write(const Json &value, int depth, std::string &out) {
    if (depth > max_json_depth) {
        throw IRConversionError({}, "json nests deeper than " + std::to_string(max_json_depth));
    }
    switch (value.type()) {
    case Json::value_t::null:
        out += "null";
        return;
    case Json::value_t::boolean:
        out += value.get<bool>() ? "true" : "false";
        return;
    case Json::value_t::number_integer:
        out += std::to_string(value.get<int64_t>());
        return;
    case Json::value_t::number_unsigned:
        out += std::to_string(value.get<uint64_t>());
        return;
    case Json::value_t::number_float:
        out += json_float(value.get<double>());
        return;
    case Json::value_t::string:
        out += json_string(value.get_ref<const std::string &>());
        return;
    case Json::value_t::array:
        write_list('[', ']', value, out, [&](auto item) { write(*item, depth + 1, out); });
        return;
    case Json::value_t::object:
        write_list('{', '}', value, out, [&](auto item) {
            out += json_string(item.key()) + ":";
            write(item.value(), depth + 1, out);
        });
        return;
    case Json::value_t::binary:
    case Json::value_t::discarded:
        throw IRConversionError({}, std::string("json has no value of kind ") + value.type_name());
    }
}

/// Counts lines as the parser reads on, because its callback does not say where it is.
class LineCounter {
public:
    using iterator_category = std::input_iterator_tag;
    using value_type = char;
    using difference_type = std::ptrdiff_t;
    using pointer = const char *;
    using reference = const char &;

    LineCounter(const char *at, int *line) : at_(at), line_(line) {}

    const char &operator*() const { return *at_; }
    LineCounter &operator++() {
        *line_ += *at_ == '\n';
        ++at_;
        return *this;
    }
    LineCounter operator++(int) {
        LineCounter old = *this;
        ++*this;
        return old;
    }
    bool operator==(const LineCounter &other) const { return at_ == other.at_; }
    bool operator!=(const LineCounter &other) const { return at_ != other.at_; }

private:
    const char *at_;
    int *line_;
};

/// The parser's own message without its prefix and position, which ours replace.
std::string plain_message(std::string text) {
    for (const char *lead : {"[json.exception", "parse error"}) {
        if (text.starts_with(lead)) {
            size_t cut = text.find(*lead == '[' ? "] " : ": ");
            text = cut == std::string::npos ? text : text.substr(cut + 2);
        }
    }
    std::string plain;
    for (unsigned char c : text) {
        if (c < 0x80) {
            plain += static_cast<char>(c);
        } else {
            plain += "\\x";
            plain += "0123456789abcdef"[c >> 4];
            plain += "0123456789abcdef"[c & 15];
        }
    }
    return plain;
}

}  // namespace

std::string canonical_json(const Json &value) {
    std::string out;
    write(value, 0, out);
    return out;
}

Json parse_json(std::string_view text, const std::string &origin) {
    int line = 1;
    std::vector<std::set<std::string>> open_objects;
    auto check = [&](int depth, Json::parse_event_t event, Json &parsed) {
        switch (event) {
        case Json::parse_event_t::object_start:
            open_objects.emplace_back();
            [[fallthrough]];
        case Json::parse_event_t::array_start:
            if (depth >= max_json_depth) {
                throw IRConversionError({origin, line},
                                        "json nests deeper than " + std::to_string(max_json_depth));
            }
            break;
        case Json::parse_event_t::key:
            if (!open_objects.back().insert(parsed.get<std::string>()).second) {
                throw IRConversionError({origin, line},
                                        "duplicate key " + quoted(parsed.get<std::string>()));
            }
            break;
        case Json::parse_event_t::object_end:
            open_objects.pop_back();
            break;
        default:
            break;
        }
        return true;
    };
    try {
        return Json::parse(LineCounter(text.data(), &line),
                           LineCounter(text.data() + text.size(), &line), check);
    } catch (const Json::parse_error &e) {
        // The lexer may have read past the end of the line before it saw the fault.
        size_t read = std::min(e.byte == 0 ? 0 : e.byte - 1, text.size());
        line = 1 + static_cast<int>(std::count(text.begin(), text.begin() + read, '\n'));
        throw IRConversionError({origin, line}, "not valid json: " + plain_message(e.what()));
    } catch (const Json::exception &e) {
        throw IRConversionError({origin, line}, "not valid json: " + plain_message(e.what()));
    }
}

}  // namespace pto::wsp
