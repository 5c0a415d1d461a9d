#pragma once

#include <string>
#include <vector>

#include "pto/wsp/support/loc.h"

namespace pto::wsp::backend::cpu {

/// The C++ compiler of the system.
struct SystemCompiler {
    std::vector<std::string> command;  ///< program and first arguments
    std::string version;               ///< what it says of itself
};

/// `$CXX` when set, else the first of c++, g++ and clang++ that there is. CompileError at `at`
/// naming what was tried when none answers.
SystemCompiler system_compiler(const Loc &at);

/// What a process left behind.
struct Finished {
    int status = 0;      ///< exit code; -1: it could not be started; 128 + n: signal n ended it
    std::string output;  ///< what it printed
    std::string errors;  ///< what it printed as errors, or why it could not be started
};

/// Runs `command` (looked up in PATH, no shell) with `input` to read and messages in English, and
/// waits for its end.
Finished run_process(const std::vector<std::string> &command, const std::string &input);

}  // namespace pto::wsp::backend::cpu
