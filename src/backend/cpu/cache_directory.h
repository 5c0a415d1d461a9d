#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "pto/wsp/support/hash.h"

namespace pto::wsp::backend::cpu {

/// The files of an ObjectCache. Safe against other threads and processes on the same directory:
/// files appear whole, by renaming, and may disappear at any time. Objects are code: only what this
/// user or the superuser alone could have written is read.
class CacheDirectory {
public:
    CacheDirectory(std::string directory, int64_t bound_bytes);

    const std::string &path() const { return directory_; }

    struct Found {
        std::optional<std::string> object = {};
        std::string reason = {};  ///< why there is no object
        bool corrupt = false;     ///< there is an entry, and it is damaged
    };
    /// A verified object; marks it as used.
    Found read(const Hash128 &key) const;

    /// Stores an object; returns why that was not possible, or an empty text. Never leaves a part
    /// of an entry.
    std::string write(const Hash128 &key, std::string_view object);

    /// After writes: removes the least recently used entries when all are above the bound, then to
    /// 7/8 of it, and temporary files that a killed process left. Returns the entries removed.
    int64_t keep_bound();

private:
    std::string entry_path(const Hash128 &key) const;
    /// Why the subdirectory may hold what another user wrote, or an empty text.
    std::string why_not_trusted() const;
    int64_t scan();

    std::string directory_;
    std::string entries_;  ///< the subdirectory of this layout's version
    int64_t bound_bytes_;
    std::mutex mutex_;
    int64_t known_bytes_ = -1;  ///< estimate, without what other processes wrote since; -1: unknown
    int writes_since_scan_ = 0;
};

}  // namespace pto::wsp::backend::cpu
