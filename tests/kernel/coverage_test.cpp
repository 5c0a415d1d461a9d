#include "pto/wsp/kernel/coverage.h"

#include <algorithm>
#include <map>
#include <set>

#include <gtest/gtest.h>

#include "pto/wsp/support/error.h"

namespace pto::wsp::kernel {
namespace {

const CoverageCell &cell(const std::string &primitive, DType dtype) {
    static const std::vector<CoverageCell> all = coverage();
    auto found = std::find_if(all.begin(), all.end(), [&](const CoverageCell &each) {
        return each.primitive == primitive && each.dtype == dtype;
    });
    EXPECT_NE(found, all.end()) << primitive;
    return *found;
}

TEST(Coverage, HasEveryPrimitiveOnEveryTypeOnce) {
    std::map<std::string, std::set<DType>> cells;
    for (const CoverageCell &each : coverage()) {
        EXPECT_TRUE(cells[each.primitive].insert(each.dtype).second) << each.primitive;
    }
    EXPECT_EQ(cells.size(), ops().size() + composed().size());
    for (const auto &[primitive, types] : cells) {
        EXPECT_EQ(types.size(), dtypes().size() - 1) << primitive;
        EXPECT_EQ(types.count(DType::Mask), 0U) << primitive;
    }
}

TEST(Coverage, SaysHowExactResultsAre) {
    EXPECT_EQ(cell("add", DType::I8).str(), "exact");
    EXPECT_EQ(cell("add", DType::BF16).str(), "correctly rounded");
    EXPECT_EQ(cell("exp", DType::F32).str(), "<= 5 ulp");
    EXPECT_EQ(cell("exp", DType::F16).str(), "<= 1 ulp");
    EXPECT_EQ(cell("exp", DType::F64).accuracy.ulps(DType::F64), 1);
    EXPECT_EQ(cell("rowsum", DType::F32).str(), "<= n ulp of sum |x|");
    EXPECT_EQ(cell("matmul", DType::F16).str(), "<= k ulp of |a| @ |b|");
    EXPECT_EQ(cell("softmax", DType::F32).str(), "<= n + 100 ulp");
    EXPECT_EQ(cell("rowmax", DType::F32).str(), "exact");
}

TEST(Coverage, RefusesWithTheErrorOfTheRule) {
    EXPECT_EQ(cell("exp", DType::I32).str(), "refused: exp: i32 [32, 32] is not a float");
    EXPECT_EQ(cell("iota_u32", DType::F32).refusal, "store: 'out' holds f32, the value is u32");
    EXPECT_FALSE(cell("tsort32", DType::F16).accepted());
    EXPECT_TRUE(cell("tsort32", DType::F32).accepted());
}

TEST(Coverage, ComposedPrimitivesAreAsTheirOperations) {
    for (const ComposedInfo &made : composed()) {
        for (const DTypeInfo &type : dtypes()) {
            if (find_op(made.operations) == nullptr || type.dtype == DType::Mask) {
                continue;
            }
            EXPECT_EQ(cell(made.name, type.dtype).str(), cell(made.operations, type.dtype).str())
                << made.name;
        }
    }
    EXPECT_EQ(cell("topk", DType::F16).str(), "exact");
}

TEST(Coverage, AnUnstatedAccuracyHasNoText) {
    EXPECT_THROW(Accuracy().str(DType::F32), InternalError);
}

}  // namespace
}  // namespace pto::wsp::kernel
