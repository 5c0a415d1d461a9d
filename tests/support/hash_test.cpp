#include "pto/wsp/support/hash.h"

#include <gtest/gtest.h>

#include <set>

namespace pto::wsp {
namespace {

TEST(Hash, IsTheKnownXxh3) {
    // The published value for the empty input: a change of algorithm would empty every cache.
    EXPECT_EQ(content_hash("").hex(), "99aa06d3014798d86001c324468d497f");
}

TEST(Hash, HexKeepsLeadingZeros) {
    EXPECT_EQ((Hash128{0, 10}).hex(), "0000000000000000000000000000000a");
}

TEST(Hash, SeesEveryByteAndTheLength) {
    std::set<Hash128> hashes;
    for (size_t length = 0; length < 300; ++length) {
        hashes.insert(content_hash(std::string(length, '\0')));
        std::string changed(300, '\0');
        changed[length] = 1;
        hashes.insert(content_hash(changed));
    }
    EXPECT_EQ(hashes.size(), 600u);
}

}  // namespace
}  // namespace pto::wsp
