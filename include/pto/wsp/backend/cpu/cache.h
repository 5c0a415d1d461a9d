#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "pto/wsp/backend/cpu/loader.h"
#include "pto/wsp/support/hash.h"
#include "pto/wsp/support/reason.h"

namespace pto::wsp::backend::cpu {

/// What the cache did in this process.
struct CacheStats {
    int64_t hits = 0;     ///< object found on disk or already loaded in this process
    int64_t misses = 0;   ///< object had to be generated
    int64_t rebuilt = 0;  ///< of the misses: the entry was truncated or corrupt
    int64_t evicted = 0;  ///< entries that this process removed to keep the bound
    Reasons reasons;      ///< of each miss and each entry not stored, newest last, at most 1024
};

/// Content-addressed object files in one directory. Writes are atomic (temporary file, then
/// rename); every entry carries the hash of its bytes and is verified when read; the directory is
/// kept under a bound by removing the least recently used. Any number of processes may share it. A
/// directory that cannot be written is a diagnostic, once, and everything works without it.
class ObjectCache {
public:
    /// Entries live in `directory/v1`, made when first written. A bound of 0 keeps nothing.
    ObjectCache(std::string directory, int64_t bound_bytes);

    /// The object of `key`: from disk, or by `generate` (and then stored). What `generate` throws
    /// is passed on, and nothing is stored.
    std::string get(const Hash128 &key, const std::function<std::string()> &generate);

    /// The loaded object of `key`: the one that is in this process already, or loaded from what
    /// `get` returns. Threads that ask for the same key at a time share one generation. `name`
    /// stands for it in texts; `*hit` tells whether `generate` was spared. Of one key the externals
    /// are always the same.
    std::shared_ptr<LoadedObject> load(const Hash128 &key,
                                       const std::function<std::string()> &generate,
                                       const std::string &name, bool *hit = nullptr,
                                       const Externals &externals = {});

    CacheStats stats() const;
    const std::string &directory() const;

    /// The process's cache: `env::cache_dir()`, `env::cache_bytes()`.
    static ObjectCache &shared();

private:
    struct Impl;
    std::shared_ptr<Impl> impl_;
};

/// `ObjectCache::shared().load`, where `lower` gives the module when there is no object yet.
std::shared_ptr<LoadedObject> load_cached(const Hash128 &key,
                                          const std::function<lower::Module()> &lower,
                                          const std::string &name, bool *hit = nullptr,
                                          const Externals &externals = {});

}  // namespace pto::wsp::backend::cpu
