#pragma once

namespace pto::wsp::lower {

/// From now on Halide's warnings go to `log`, not to stderr. Its errors stay the exceptions that
/// they are.
void log_halide_warnings();

}  // namespace pto::wsp::lower
