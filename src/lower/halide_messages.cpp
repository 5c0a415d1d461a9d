#include "halide_messages.h"

#include <string>
#include <string_view>

#include <Halide.h>

#include "pto/wsp/support/log.h"

namespace pto::wsp::lower {

namespace {

class Reporter : public Halide::CompileTimeErrorReporter {
public:
    void warning(const char *text) override {
        std::string_view line = text;
        constexpr std::string_view prefix = "Warning: ";
        if (line.substr(0, prefix.size()) == prefix) {
            line.remove_prefix(prefix.size());
        }
        while (!line.empty() && line.back() == '\n') {
            line.remove_suffix(1);
        }
        log(LogLevel::Warning, "Halide: " + std::string(line));
    }

    // Only the text arrives here, and it tells which exception it was to be.
    [[noreturn]] void error(const char *text) override {
        constexpr std::string_view internal = "Internal Error";
        if (std::string_view(text).substr(0, internal.size()) == internal) {
            throw Halide::InternalError(text);
        }
        throw Halide::CompileError(text);
    }
};

}  // namespace

void log_halide_warnings() {
    // Never destroyed: Halide may be used while the process ends.
    static bool installed = [] {
        Halide::set_custom_compile_time_error_reporter(new Reporter);
        return true;
    }();
    (void)installed;
}

}  // namespace pto::wsp::lower
