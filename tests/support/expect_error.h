#pragma once

#include <gtest/gtest.h>

#include <string>

#include "pto/wsp/support/error.h"

namespace pto::wsp {

/// Expects that `run()` throws exactly an `Error` with this text; gives the hint, or what went
/// wrong.
template <class Error, class Run> std::string expect_error(Run run, const std::string &text) {
    try {
        run();
    } catch (const Error &e) {
        EXPECT_EQ(typeid(e), typeid(Error));
        EXPECT_EQ(e.text(), text);
        return e.hint();
    } catch (const std::exception &e) {
        ADD_FAILURE() << "another kind of error: " << e.what();
        return "<another kind of error>";
    }
    ADD_FAILURE() << "no error; expected: " << text;
    return "<no error>";
}

}  // namespace pto::wsp
