#pragma once

#include <string>
#include <vector>

#include "pto/wsp/support/json.h"

namespace pto::wsp {

/// What this machine is, in words a person can compare. Detected at run time, never assumed.
struct Fingerprint {
    std::string arch;  ///< `x86-64`
    std::string cpu;   ///< model name as the system reports it
    std::vector<std::string>
        features;     ///< readable, sorted: `avx2 avx512 avx512_bf16 amx_bf16 f16c fma`
    int cores = 1;    ///< that this process may use
    int l1d_kib = 0;  ///< caches: 0 when unknown or absent; L3 is the whole shared cache
    int l2_kib = 0;
    int l3_kib = 0;

    /// True when `feature` is among `features`.
    bool has(const std::string &feature) const;
    /// f32 lanes of the widest vector unit: 16, 8 or 4.
    int vector_lanes_f32() const;
    /// One line with all features:
    /// `x86-64 avx512 avx512_bf16, l1 32 KiB, l2 1024 KiB, l3 32 MiB, 2 cores`
    std::string str() const;
    /// Object with the fields' names as keys.
    Json json() const;
};

/// What the files under `root` (`/proc/cpuinfo`, `/sys`, the control group) say, and the processor
/// itself where they are missing.
Fingerprint detect_fingerprint(const std::string &root = "/");

/// This machine, read once in a process.
const Fingerprint &host_fingerprint();

}  // namespace pto::wsp
