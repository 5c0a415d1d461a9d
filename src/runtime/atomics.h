#pragma once

#include <atomic>

namespace pto::wsp::runtime {

/// What the structures that threads share without locks are made of. Tests put in atomics of their
/// own, which stop before each operation, and so run such a structure in every order of operations.
struct StdAtomics {
    template <typename Value> using Atomic = std::atomic<Value>;
};

}  // namespace pto::wsp::runtime
