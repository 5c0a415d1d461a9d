#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

namespace pto::wsp {

/// 128-bit content hash (XXH3-128): the same on every machine and in every process.
struct Hash128 {
    uint64_t high = 0;
    uint64_t low = 0;

    /// 32 lower-case hexadecimal digits.
    std::string hex() const;
    auto operator<=>(const Hash128 &) const = default;
};

/// Hash of the bytes of `text`.
Hash128 content_hash(std::string_view text);

}  // namespace pto::wsp
