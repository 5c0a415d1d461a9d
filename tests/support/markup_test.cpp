#include "pto/wsp/support/markup.h"

#include <gtest/gtest.h>

namespace pto::wsp {
namespace {

TEST(Markup, WritesWhatMarkupMeansAsEntities) {
    EXPECT_EQ(markup_text("a<b> & \"c\" 'd'"), "a&lt;b&gt; &amp; &quot;c&quot; 'd'");
    EXPECT_EQ(markup_text("&amp;"), "&amp;amp;");
    EXPECT_EQ(markup_text(""), "");
}

}  // namespace
}  // namespace pto::wsp
