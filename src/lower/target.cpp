#include <Halide.h>

#include <fmt/format.h>

#include "narrow_floats.h"
#include "pto/wsp/core/fingerprint.h"
#include "pto/wsp/lower/lower.h"
#include "pto/wsp/support/env.h"
#include "pto/wsp/support/error.h"

namespace pto::wsp::lower {

namespace {

Target describe(const Halide::Target &halide) {
    Target target;
    target.text = halide.to_string();
    bool avx512 = halide.has_feature(Halide::Target::AVX512) ||
                  halide.has_feature(Halide::Target::AVX512_Skylake);
    target.vector_bytes = avx512 ? 64 : halide.has_feature(Halide::Target::AVX2) ? 32 : 16;
    target.vector_registers = avx512 ? 32 : 16;
    target.bfloat_dot = has_bfloat_instructions(halide);
    const Fingerprint &host = host_fingerprint();
    if (host.l1d_kib > 0) {
        target.l1d_bytes = int64_t{host.l1d_kib} << 10;
    }
    if (host.l2_kib > 0) {
        target.l2_bytes = int64_t{host.l2_kib} << 10;
    }
    return target;
}

}  // namespace

Target host_target() {
    std::string wanted = env::target();
    return wanted.empty() ? describe(Halide::get_host_target()) : parse_target(wanted, {});
}

Target parse_target(const std::string &text, const Loc &at) {
    if (!Halide::Target::validate_target_string(text)) {
        throw CompileError(at, fmt::format("unknown target '{}'", text), {},
                           "a Halide target such as x86-64-linux-avx2-fma-f16c");
    }
    return describe(Halide::Target(text));
}

}  // namespace pto::wsp::lower
