#include "pto/wsp/support/text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace pto::wsp {

namespace {

/// Length of the UTF-8 sequence at the start of `text`, or 0 when it is none.
size_t sequence_length(std::string_view text) {
    auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
    unsigned char first = byte(0);
    if (first < 0x80) {
        return 1;
    }
    size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || text.size() < length) {
        return 0;
    }
    for (size_t i = 1; i < length; ++i) {
        if ((byte(i) & 0xc0) != 0x80) {
            return 0;
        }
    }
    // The second byte excludes overlong forms, surrogates and code points past U+10FFFF.
    unsigned char second = byte(1);
    bool excluded = (first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
                    (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f);
    return excluded ? 0 : length;
}

std::string lower_case(std::string_view text) {
    std::string lower(text);
    for (char &c : lower) {
        c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    }
    return lower;
}

/// Optimal string alignment distance: Levenshtein plus swaps of neighbours.
size_t edit_distance(const std::string &a, const std::string &b) {
    std::vector<size_t> before_last;
    std::vector<size_t> last(b.size() + 1);
    for (size_t j = 0; j <= b.size(); ++j) {
        last[j] = j;
    }
    for (size_t i = 1; i <= a.size(); ++i) {
        std::vector<size_t> row(b.size() + 1, i);
        for (size_t j = 1; j <= b.size(); ++j) {
            size_t change = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
            row[j] = std::min({last[j] + 1, row[j - 1] + 1, change});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                row[j] = std::min(row[j], before_last[j - 2] + 1);
            }
        }
        before_last = std::move(last);
        last = std::move(row);
    }
    return last[b.size()];
}

}  // namespace

bool is_utf8(std::string_view text) {
    while (!text.empty()) {
        size_t length = sequence_length(text);
        if (length == 0) {
            return false;
        }
        text.remove_prefix(length);
    }
    return true;
}

std::string quoted(std::string_view text) {
    constexpr std::string_view values = "\"\\\b\f\n\r\t";
    constexpr std::string_view names = "\"\\bfnrt";
    constexpr char digits[] = "0123456789abcdef";
    std::string out = "\"";
    for (char c : text) {
        size_t known = values.find(c);
        auto byte = static_cast<unsigned char>(c);
        if (known != std::string_view::npos) {
            out += '\\';
            out += names[known];
        } else if (byte < 0x20) {
            out += "\\u00";
            out += digits[byte >> 4];
            out += digits[byte & 15];
        } else {
            out += c;
        }
    }
    return out + "\"";
}

std::string number_text(double value) {
    if (std::isnan(value)) {
        return "nan";
    }
    std::array<char, 32> buffer{};
    auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
    return {buffer.data(), end};
}

std::string nearest_name(std::string_view name, const std::vector<std::string> &known) {
    std::string wanted = lower_case(name);
    size_t limit = std::max<size_t>(1, wanted.size() / 3);
    std::string nearest;
    for (const std::string &candidate : known) {
        size_t longer = std::max(wanted.size(), candidate.size());
        size_t shorter = std::min(wanted.size(), candidate.size());
        if (longer - shorter > limit) {
            continue;
        }
        size_t distance = edit_distance(wanted, lower_case(candidate));
        if (distance <= limit && distance < longer) {
            nearest = candidate;
            if (distance == 0) {
                break;
            }
            limit = distance - 1;
        }
    }
    return nearest;
}

std::string join(const std::vector<std::string> &parts, std::string_view separator) {
    std::string all;
    for (size_t i = 0; i < parts.size(); ++i) {
        all += i == 0 ? "" : separator;
        all += parts[i];
    }
    return all;
}

}  // namespace pto::wsp
