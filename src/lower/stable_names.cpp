#include "stable_names.h"

#include <cctype>
#include <map>
#include <string_view>
#include <utility>

namespace pto::wsp::lower {

namespace {

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

bool is_of_name(char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '$';
}

/// What Halide calls the partial results of a Func: its name with `_` for `$`, and this.
constexpr std::string_view partial = "_intm";

/// Moves `_12` of a base `rowsum0_12_intm` to its counter.
void move_counter_of_partial(std::string &base, std::string &counter) {
    if (!base.ends_with(partial)) {
        return;
    }
    const size_t end = base.size() - partial.size();
    size_t begin = end;
    while (begin > 0 && is_digit(base[begin - 1])) {
        --begin;
    }
    if (begin < end && begin > 0 && base[begin - 1] == '_') {
        counter += base.substr(begin - 1, end - begin + 1);
        base.erase(begin - 1, end - begin + 1);
    }
}

/// Splits `t61` into `t` and `61`, `store0$3` into `store0` and `$3`, `store0$3_intm` and
/// `store0_3_intm` into `store0_intm` and a counter; others have no counter.
std::pair<std::string, std::string> split(const std::string &name) {
    std::string base;
    std::string counter;
    for (size_t i = 0; i < name.size();) {
        size_t end = i + 1;
        while (name[i] == '$' && end < name.size() && is_digit(name[end])) {
            ++end;
        }
        (name[i] == '$' ? counter : base) += name.substr(i, end - i);
        i = end;
    }
    move_counter_of_partial(base, counter);
    if (!counter.empty()) {
        return {base, counter};
    }
    bool temporary = name.size() > 1 && name[0] == 't' &&
                     name.find_first_not_of("0123456789", 1) == std::string::npos;
    return temporary ? std::pair(std::string("t"), name.substr(1)) : std::pair(name, std::string());
}

/// Gives each counter of a base the number of those before it.
class Numbering {
public:
    std::string renamed(const std::string &name) {
        auto [base, counter] = split(name);
        std::map<std::string, size_t> &known = numbers_[base];
        size_t number = known.try_emplace(counter, known.size()).first->second;
        if (base == "t" && counter.find('$') == std::string::npos && !counter.empty()) {
            return base + std::to_string(number);
        }
        return number == 0 ? base : base + "$" + std::to_string(number);
    }

private:
    std::map<std::string, std::map<std::string, size_t>> numbers_;
};

}  // namespace

std::string with_stable_names(const std::string &text) {
    Numbering numbering;
    std::string result;
    size_t at = 0;
    while (at < text.size()) {
        size_t end = at;
        while (end < text.size() && is_of_name(text[end])) {
            ++end;
        }
        bool first_of_name = at == 0 || text[at - 1] != '.';
        bool is_name = end > at && !is_digit(text[at]);
        if (end == at) {
            result += text[at++];
            continue;
        }
        std::string name = text.substr(at, end - at);
        result += is_name && (first_of_name || name.find('$') != std::string::npos)
                      ? numbering.renamed(name)
                      : name;
        at = end;
    }
    return result;
}

}  // namespace pto::wsp::lower
