#include "stable_names.h"

#include <cctype>
#include <map>
#include <utility>

namespace pto::wsp::lower {

namespace {

bool is_of_name(char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '$';
}

/// Splits `t61` into `t` and `61`, `store0$3` into `store0` and `$3`; others have no counter.
std::pair<std::string, std::string> split(const std::string &name) {
    size_t dollar = name.rfind('$');
    if (dollar != std::string::npos) {
        return {name.substr(0, dollar), name.substr(dollar)};
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
        bool is_name = end > at && std::isdigit(static_cast<unsigned char>(text[at])) == 0;
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
