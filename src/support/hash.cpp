#include "pto/wsp/support/hash.h"

#include <fmt/format.h>
#include <xxhash.h>

namespace pto::wsp {

std::string Hash128::hex() const {
    return fmt::format("{:016x}{:016x}", high, low);
}

Hash128 content_hash(std::string_view text) {
    XXH128_hash_t hash = XXH3_128bits(text.data(), text.size());
    return {hash.high64, hash.low64};
}

}  // namespace pto::wsp
