#include "pto/wsp/support/env.h"

#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <vector>

#include "pto/wsp/support/cores.h"
#include "pto/wsp/support/error.h"
#include "pto/wsp/support/text.h"

namespace pto::wsp::env {

namespace {

constexpr int max_workers = 1024;
constexpr int64_t default_cache_bytes = int64_t(1) << 30;

constexpr std::array<Variable, 9> table = {{
    {"PTO_WSP_CACHE_DIR", "path", "$XDG_CACHE_HOME/pto_wsp", "where compiled objects are kept"},
    {"PTO_WSP_CACHE_BYTES", "count", "1G", "size that the cache of compiled objects is kept under"},
    {"PTO_WSP_WORKERS", "count", "usable cores", "worker threads of an executor, 1...1024"},
    {"PTO_WSP_TARGET", "text", "this machine", "Halide target string to compile for"},
    {"PTO_WSP_LOG", "text", "warning", "least level that is printed: error warning info debug"},
    {"CXX", "text", "c++, g++ or clang++", "command that compiles C++ bodies of kernels"},
    {"TMPDIR", "path", "/tmp", "where that command works"},
    {"XDG_CACHE_HOME", "path", "$HOME/.cache", "parent of the default cache directory"},
    {"HOME", "path", "the user database's", "parent of the default of XDG_CACHE_HOME"},
}};

std::optional<std::string> value_of(const char *name) {
    const char *value = std::getenv(name);  // NOLINT: nothing in the project changes it
    return value != nullptr && *value != '\0' ? std::optional<std::string>(value) : std::nullopt;
}

std::optional<int64_t> count(std::string_view text) {
    int64_t value = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    bool whole = error == std::errc() && end == text.data() + text.size();
    return whole && value >= 0 ? std::optional(value) : std::nullopt;
}

[[noreturn]] void refuse(const char *name, const std::string &expected, const std::string &found,
                         const std::string &hint = "") {
    throw ExecutionError(
        {}, std::string(name) + ": expected " + expected + ", found " + quoted(found), {}, hint);
}

std::string home_dir() {
    if (std::optional<std::string> home = value_of("HOME")) {
        return *home;
    }
    std::vector<char> buffer(16384);
    passwd entry{};
    passwd *found = nullptr;
    if (getpwuid_r(getuid(), &entry, buffer.data(), buffer.size(), &found) == 0 &&
        found != nullptr && found->pw_dir != nullptr && *found->pw_dir != '\0') {
        return found->pw_dir;
    }
    throw ExecutionError({}, "no directory for the cache: this user has no home directory", {},
                         "set PTO_WSP_CACHE_DIR");
}

}  // namespace

std::span<const Variable> variables() {
    return table;
}

std::string cache_dir() {
    if (std::optional<std::string> directory = value_of("PTO_WSP_CACHE_DIR")) {
        return *directory;
    }
    // The XDG base directory specification tells programs to ignore a relative path.
    std::optional<std::string> cache_home = value_of("XDG_CACHE_HOME");
    if (cache_home && cache_home->starts_with('/')) {
        return *cache_home + "/pto_wsp";
    }
    return home_dir() + "/.cache/pto_wsp";
}

int64_t cache_bytes() {
    std::optional<std::string> text = value_of("PTO_WSP_CACHE_BYTES");
    if (!text) {
        return default_cache_bytes;
    }
    std::string digits = *text;
    int64_t unit = 1;
    size_t suffix = std::string_view("KMG").find(digits.back());
    if (suffix != std::string_view::npos) {
        unit = int64_t(1) << (10 * (suffix + 1));
        digits.pop_back();
    }
    std::optional<int64_t> number = count(digits);
    int64_t bytes = 0;
    if (!number || __builtin_mul_overflow(*number, unit, &bytes)) {
        refuse("PTO_WSP_CACHE_BYTES", "a number of bytes below 2^63", *text,
               "write 500000000, 500M or 2G");
    }
    return bytes;
}

int workers() {
    std::optional<std::string> text = value_of("PTO_WSP_WORKERS");
    if (!text) {
        return std::min(usable_cores(), max_workers);
    }
    std::optional<int64_t> number = count(*text);
    if (!number || *number < 1 || *number > max_workers) {
        refuse("PTO_WSP_WORKERS", "a number of workers in 1...1024", *text,
               "unset it to use the " + std::to_string(usable_cores()) +
                   " cores that this process may use");
    }
    return static_cast<int>(*number);
}

std::string target() {
    return value_of("PTO_WSP_TARGET").value_or("");
}

std::string cxx() {
    return value_of("CXX").value_or("");
}

std::string temporary_dir() {
    return value_of("TMPDIR").value_or("/tmp");
}

std::string log_level() {
    static const std::vector<std::string> levels = {"error", "warning", "info", "debug"};
    std::string level = value_of("PTO_WSP_LOG").value_or("warning");
    if (std::find(levels.begin(), levels.end(), level) == levels.end()) {
        refuse("PTO_WSP_LOG", "one of " + join(levels), level);
    }
    return level;
}

}  // namespace pto::wsp::env
