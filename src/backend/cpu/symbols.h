#pragma once

#include <span>

namespace pto::wsp::backend::cpu {

/// A function that generated code may call.
struct HostSymbol {
    const char *name;
    void *address;
};

/// All of them; an object that needs any other symbol is refused.
std::span<const HostSymbol> host_symbols();

}  // namespace pto::wsp::backend::cpu
