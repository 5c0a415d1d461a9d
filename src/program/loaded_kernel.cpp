#include "loaded_kernel.h"

#include <fmt/format.h>

#include "pto/wsp/backend/cpu/cache.h"
#include "pto/wsp/backend/cpu/engine_build.h"

namespace pto::wsp {

LoadedKernel load_kernel(const KernelRequest &request, const lower::Target &target,
                         const backend::cpu::Externals &externals) {
    const Hash128 hash = content_hash(fmt::format("kernel\n{}\n{}\n{}", request.key(), target.text,
                                                  backend::cpu::engine_build()));
    const std::string symbol = kernel_symbol(hash);
    LoadedKernel loaded;
    loaded.object = backend::cpu::load_cached(
        hash,
        [&] { return lower::lower_kernel(prepare(request, target, nullptr), symbol, target); },
        request.program->name, &loaded.was_cached, externals);
    loaded.function = reinterpret_cast<abi::KernelFn>(loaded.object->address(symbol + ".packed"));
    return loaded;
}

}  // namespace pto::wsp
