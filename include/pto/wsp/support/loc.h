#pragma once

#include <string>

namespace pto::wsp {

/// A place in the user's source. Every user-facing call takes one, defaulted to the caller's line:
/// `void f(int x, Loc at = Loc::here());`. Python passes the first frame outside the package.
struct Loc {
    std::string file;
    int line = 0;

    static Loc here(const char *file = __builtin_FILE(), int line = __builtin_LINE()) {
        return {file, line};
    }

    /// False for things that no user line made.
    bool known() const { return line > 0; }
    /// `file.py:41`, or `<unknown>`.
    std::string str() const;

    bool operator==(const Loc &) const = default;
};

}  // namespace pto::wsp
