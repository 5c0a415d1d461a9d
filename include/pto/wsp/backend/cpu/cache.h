#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "pto/wsp/support/hash.h"
#include "pto/wsp/support/reason.h"

namespace pto::wsp::backend::cpu {

struct CacheStats {
    int64_t hits = 0;       ///< object found on disk or already loaded in this process
    int64_t misses = 0;     ///< object had to be generated
    int64_t rebuilt = 0;    ///< of the misses: the entry was truncated or corrupt
    int64_t evicted = 0;
    Reasons reasons;        ///< of each miss, newest last, at most 1024
};

/// Content-addressed object files in one directory. Writes are atomic (temporary file, then
/// rename); every entry carries the hash of its bytes and is verified when read; the directory is
/// kept under a bound by removing the least recently used. Any number of processes may share it. A
/// directory that cannot be written is a diagnostic, once, and everything works without it.
class ObjectCache {
public:
    ObjectCache(std::string directory, int64_t bound_bytes);

    /// The object of `key`: from disk, or by `generate` (and then stored).
    std::string get(const Hash128 &key, const std::function<std::string()> &generate);
    CacheStats stats() const;
    const std::string &directory() const;

    /// The process's cache: `env::cache_dir()`, `env::cache_bytes()`.
    static ObjectCache &shared();

private:
    struct Impl;
    std::shared_ptr<Impl> impl_;
};

}  // namespace pto::wsp::backend::cpu
