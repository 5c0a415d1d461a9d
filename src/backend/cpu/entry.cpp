#include "backend/cpu/entry.h"

#include <bit>
#include <cstdint>
#include <cstring>

#include <fmt/format.h>

namespace pto::wsp::backend::cpu {
namespace {

static_assert(std::endian::native == std::endian::little, "entries are little-endian");

constexpr uint64_t magic = 0x4a424f5053570a50;  // `P\nWSPOBJ`: text conversion damages it
constexpr uint64_t version = 1;

struct Header {
    uint64_t magic;
    uint64_t version;
    Hash128 key;
    Hash128 object_hash;
    uint64_t object_bytes;
};
static_assert(sizeof(Header) == 56, "the header has no padding");

}  // namespace

std::string encode_entry(const Hash128 &key, std::string_view object) {
    const Header header = {magic, version, key, content_hash(object), object.size()};
    std::string entry(sizeof header + object.size(), '\0');
    std::memcpy(entry.data(), &header, sizeof header);
    std::memcpy(entry.data() + sizeof header, object.data(), object.size());
    return entry;
}

std::string_view decode_entry(const Hash128 &key, std::string_view entry, std::string *flaw) {
    Header header;
    if (entry.size() < sizeof header) {
        *flaw = fmt::format("{} bytes, fewer than the {} of a header", entry.size(), sizeof header);
        return {};
    }
    std::memcpy(&header, entry.data(), sizeof header);
    const std::string_view object = entry.substr(sizeof header);
    if (header.magic != magic || header.version != version) {
        *flaw = "not an object entry of this version";
    } else if (header.key != key) {
        *flaw = fmt::format("made for key {}", header.key.hex());
    } else if (header.object_bytes != object.size()) {
        *flaw = fmt::format("object of {} bytes, expected {}", object.size(), header.object_bytes);
    } else if (const Hash128 hash = content_hash(object); hash != header.object_hash) {
        *flaw = fmt::format("hash {}, expected {}", hash.hex(), header.object_hash.hex());
    } else {
        return object;
    }
    return {};
}

}  // namespace pto::wsp::backend::cpu
