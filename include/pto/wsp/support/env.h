#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace pto::wsp::env {

/// One row of the table of environment variables that the project reads.
struct Variable {
    const char *name;
    const char *type;  ///< `path`, `count`, `flag`, `text`
    const char *fallback;
    const char *doc;
};

/// All of them; nothing else in the project calls getenv. An empty value counts as unset. A value
/// that does not fit throws ExecutionError naming the variable.
std::span<const Variable> variables();

/// `PTO_WSP_CACHE_DIR`, default `$XDG_CACHE_HOME/pto_wsp` or `~/.cache/pto_wsp`. ExecutionError
/// when there is no home directory either.
std::string cache_dir();
/// `PTO_WSP_CACHE_BYTES`, default 1 GiB; a plain number, or with `K`, `M`, `G` (1024-fold).
int64_t cache_bytes();
/// `PTO_WSP_WORKERS`, default the cores this process may use. ExecutionError when not in 1...1024.
int workers();
/// `PTO_WSP_TARGET`: a Halide target string that replaces the host's; empty when unset.
std::string target();
/// `CXX`: the command that compiles C++ bodies of kernels, with arguments; empty when unset.
std::string cxx();
/// `TMPDIR`, default `/tmp`.
std::string temporary_dir();
/// `PTO_WSP_LOG`: `error`, `warning` (default), `info`, `debug`.
std::string log_level();

}  // namespace pto::wsp::env
