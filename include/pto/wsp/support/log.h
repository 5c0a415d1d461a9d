#pragma once

#include <functional>
#include <string>

namespace pto::wsp {

/// Weight of a diagnostic, lightest first.
enum class LogLevel { Debug, Info, Warning, Error };

/// Receives every diagnostic, from any thread. The default prints those of `env::log_level()` and
/// above (warnings and errors unless set) to stderr as `pto_wsp: warning: text`; Python installs
/// one that feeds `logging.getLogger("pto_wsp")`.
using LogSink = std::function<void(LogLevel, const std::string &)>;

/// Replaces the sink; an empty one restores the default.
void set_log_sink(LogSink sink);
/// Hands a diagnostic to the sink.
void log(LogLevel level, const std::string &text);

}  // namespace pto::wsp
