#pragma once

#include <memory>
#include <string>

#include "kernel_code.h"
#include "pto/wsp/backend/cpu/loader.h"

namespace pto::wsp {

/// Code of a kernel with one set of layouts, ready to be called.
struct LoadedKernel {
    std::shared_ptr<backend::cpu::LoadedObject> object;
    abi::KernelFn function = nullptr;
    bool was_cached = false;
};

/// Compiles it, or takes it from the object cache; `externals` has the body of one that is C++.
LoadedKernel load_kernel(const KernelRequest &request, const lower::Target &target,
                         const backend::cpu::Externals &externals = {});

}  // namespace pto::wsp
