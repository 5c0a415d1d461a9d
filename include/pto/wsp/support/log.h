#pragma once

#include <functional>
#include <string>

namespace pto::wsp {

enum class LogLevel { Debug, Info, Warning, Error };

/// Receives every diagnostic. The default prints warnings and errors to stderr as
/// `pto_wsp: warning: text`; Python installs one that feeds `logging.getLogger("pto_wsp")`.
using LogSink = std::function<void(LogLevel, const std::string &)>;

void set_log_sink(LogSink sink);
void log(LogLevel level, const std::string &text);

}  // namespace pto::wsp
