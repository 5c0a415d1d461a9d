#include "library_code.h"

#include <mutex>
#include <shared_mutex>
#include <unordered_map>

#include "loaded_kernel.h"
#include "pto/wsp/program/library.h"

namespace pto::wsp::kernels {

namespace {

struct Memo {
    std::shared_mutex mutex;
    std::mutex compiling;
    std::unordered_map<std::string, LoadedKernel> code;
    LibraryStats stats;

    abi::KernelFn find(const std::string &key) {
        const std::shared_lock lock(mutex);
        auto found = code.find(key);
        return found == code.end() ? nullptr : found->second.function;
    }
};

/// Never destroyed: workers may run its code until the process has ended.
Memo &memo() {
    static Memo *const shared = new Memo;
    return *shared;
}

}  // namespace

abi::KernelFn library_code(CodeKey key, const std::vector<lower::ParamLayout> &layouts,
                           const std::function<ProgramPtr()> &make) {
    for (const lower::ParamLayout &layout : layouts) {
        key.add(layout);
    }
    Memo &known = memo();
    if (const abi::KernelFn function = known.find(key.bytes())) {
        return function;
    }
    const std::scoped_lock one_at_a_time(known.compiling);
    if (const abi::KernelFn function = known.find(key.bytes())) {
        return function;
    }
    LoadedKernel loaded = load_kernel({make(), layouts, {}, {}, {}}, lower::host_target());
    const std::unique_lock lock(known.mutex);
    ++known.stats.kernels;
    known.stats.compiled += loaded.was_cached ? 0 : 1;
    return known.code.emplace(key.bytes(), std::move(loaded)).first->second.function;
}

LibraryStats library_stats() {
    Memo &known = memo();
    const std::shared_lock lock(known.mutex);
    return known.stats;
}

}  // namespace pto::wsp::kernels
