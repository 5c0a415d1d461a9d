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

/// Compiles it, or takes it from the object cache.
LoadedKernel load_kernel(const KernelRequest &request, const lower::Target &target);

}  // namespace pto::wsp
