#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "pto/wsp/wsp.h"

namespace pto::wsp::test {

inline constexpr DType F32 = DType::F32;

inline Tile small_tile() {
    return {2, 4, F32};
}

/// y = x * 0.5 + y, in place.
Kernel accumulate();
/// y = x + 1.
Kernel increment();
/// c = a * 0.5 + b * 0.25 + 1.
Kernel mix();

/// Different small numbers everywhere.
void fill(const Tensor &tensor, unsigned seed = 1);

/// Runs it to its end, which must come within a minute.
void run(Program &program);

/// Runs the tasks one by one in program order with the reference evaluator.
void interpret(const workload::Workload &workload);

/// The program of `workload` gives exactly what `interpret` gives on the data that its tensors
/// hold.
void expect_sequential_result(const Workload &workload, const CompileOptions &options = {});

/// Text and hint of what `call` throws: `text | hint`. Another kind of error is a failure.
template <class Error> std::string error_of(const std::function<void()> &call) {
    try {
        call();
    } catch (const Error &error) {
        return error.text() + (error.hint().empty() ? "" : " | " + error.hint());
    }
    ADD_FAILURE() << "nothing is thrown";
    return "";
}

/// Runs tests of this binary in a process of its own, with these environment variables; tests whose
/// names start with DISABLED_ too. True when they ran and passed.
bool passes_in_new_process(const std::string &filter,
                           const std::map<std::string, std::string> &environment);

}  // namespace pto::wsp::test
