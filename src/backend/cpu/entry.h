#pragma once

#include <string>
#include <string_view>

#include "pto/wsp/support/hash.h"

namespace pto::wsp::backend::cpu {

/// The bytes of a cache file: a header of fixed size (magic, version, key, size and hash of the
/// object), then the object.
std::string encode_entry(const Hash128 &key, std::string_view object);

/// The object inside `entry`, a view into it. Otherwise empty, and `*flaw` says what is wrong: any
/// missing, added or changed byte is noticed, and so is an entry of another key.
std::string_view decode_entry(const Hash128 &key, std::string_view entry, std::string *flaw);

}  // namespace pto::wsp::backend::cpu
