#include "fuzz/readers.h"

#include <gtest/gtest.h>

#include "fuzz/mutate.h"

namespace pto::wsp::fuzz {
namespace {

class Readers : public testing::TestWithParam<Reader> {};

TEST_P(Readers, TakeTheirSeeds) {
    const std::vector<std::string> seeds = seeds_of(GetParam());
    EXPECT_FALSE(seeds.empty());
    for (const std::string &text : seeds) {
        GetParam().check(text);
    }
}

TEST_P(Readers, ReadOrRefuseWhatIsDamaged) {
    Mutator mutator(seeds_of(GetParam()), 7);
    for (int i = 0; i < 20000; ++i) {
        GetParam().check(mutator.next());
    }
}

INSTANTIATE_TEST_SUITE_P(Every, Readers, testing::ValuesIn(readers().begin(), readers().end()),
                         [](const auto &each) { return each.param.name; });

}  // namespace
}  // namespace pto::wsp::fuzz
