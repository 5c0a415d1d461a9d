#include "pto/wsp/support/text.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "support/expect_error.h"

namespace pto::wsp {
namespace {

using Kind = Token::Kind;

std::vector<std::pair<Kind, std::string>> tokens(const std::string &text) {
    TextReader reader(text, "kernel.pto");
    std::vector<std::pair<Kind, std::string>> all;
    while (!reader.at_end()) {
        Token token = reader.next();
        all.emplace_back(token.kind, token.text);
    }
    return all;
}

void expect_refused(const std::string &text, const std::string &message) {
    expect_error<IRConversionError>([&] { TextReader(text, "kernel.pto"); }, message);
}

TEST(TextReader, Tokens) {
    std::vector<std::pair<Kind, std::string>> expected = {
        {Kind::Identifier, "_a.b$1"}, {Kind::Punctuation, "->"}, {Kind::Punctuation, "//"},
        {Kind::Integer, "12"},        {Kind::Float, "1.5e-3"},   {Kind::Float, "2E5"},
        {Kind::Float, "inf"},         {Kind::Float, "nan"},      {Kind::Identifier, "info"},
        {Kind::Punctuation, "-"},     {Kind::Integer, "3"},      {Kind::Punctuation, "..."},
        {Kind::Integer, "4"},         {Kind::Identifier, "else"}};
    EXPECT_EQ(tokens("_a.b$1->// 12 1.5e-3 2E5 inf nan info -3 ... # comment -> \"\n4else"),
              expected);
}

TEST(TextReader, EndStaysAndPeekPastItIsTheEnd) {
    TextReader reader("x # last", "kernel.pto");
    EXPECT_EQ(reader.peek(100).kind, Kind::End);
    reader.next();
    EXPECT_TRUE(reader.at_end());
    reader.next();
    EXPECT_EQ(reader.next().kind, Kind::End);
}

TEST(TextReader, StringsAndEscapes) {
    TextReader reader(R"("a\"\\\/\n\t\u00e9\ud83d\ude00é")", "kernel.pto");
    EXPECT_EQ(reader.string(), "a\"\\/\n\té😀é");
    expect_refused("\n\"abc", "string has no closing quote");
    expect_refused("\"abc\n\"", "string has no closing quote");
    expect_refused("\"\\",
                   "unknown escape in a string; known are \\\" \\\\ \\/ \\b \\f \\n \\r \\t "
                   "\\uXXXX");
    expect_refused("\"\\x41\"", "unknown escape in a string; known are \\\" \\\\ \\/ \\b \\f \\n "
                                "\\r \\t \\uXXXX");
    expect_refused("\"\\u12", "\\u takes four hexadecimal digits");
    expect_refused("\"\\u-123\"", "\\u takes four hexadecimal digits");
    expect_refused("\"\\ud83d\"", "half of a surrogate pair in a string");
    expect_refused("\"\\ude00\\ude00\"", "half of a surrogate pair in a string");
    expect_refused("\"\\ude00\"", "half of a surrogate pair in a string");
    expect_refused("\"\x01\"", "control character in a string: write it as an escape");
    expect_refused("\"\xc0\x80\"", "string is not utf-8");
}

TEST(TextReader, OtherBytesAreRefusedWithTheirLine) {
    expect_refused("a\n\xff", "unexpected byte 0xff");
    expect_refused(std::string("a\0b", 3), "unexpected byte 0x00");
    try {
        TextReader("a\n\n\xc3\xa9", "kernel.pto");
        FAIL();
    } catch (const IRConversionError &e) {
        EXPECT_EQ(e.at(), (Loc{"kernel.pto", 3}));
    }
}

TEST(TextReader, FailuresNameWhatWasFoundAndExpected) {
    TextReader reader("load\n 'x \"s\"", "kernel.pto");
    expect_error<IRConversionError>([&] { reader.expect("store"); },
                                    "expected 'store', found 'load'");
    expect_error<IRConversionError>([&] { reader.integer(); }, "expected an integer, found 'load'");
    EXPECT_EQ(reader.identifier(), "load");
    EXPECT_EQ(reader.loc(), (Loc{"kernel.pto", 2}));
    expect_error<IRConversionError>([&] { reader.identifier(); }, "expected a name, found '''");
    EXPECT_TRUE(reader.accept("'"));
    expect_error<IRConversionError>([&] { reader.string(); }, "expected a string, found 'x'");
    reader.next();
    expect_error<IRConversionError>([&] { reader.number(); },
                                    "expected a number, found string \"s\"");
    EXPECT_FALSE(reader.accept("s"));
    reader.next();
    expect_error<IRConversionError>([&] { reader.expect(")"); }, "expected ')', found the end");
}

TEST(TextReader, IntegersOf64Bits) {
    TextReader reader("-9223372036854775808 +9223372036854775807 9223372036854775808", "t");
    EXPECT_EQ(reader.integer(), std::numeric_limits<int64_t>::min());
    EXPECT_EQ(reader.integer(), std::numeric_limits<int64_t>::max());
    expect_error<IRConversionError>([&] { reader.integer(); },
                                    "integer 9223372036854775808 does not fit 64 bits");
    expect_error<IRConversionError>([] { TextReader("-9223372036854775809", "t").integer(); },
                                    "integer -9223372036854775809 does not fit 64 bits");
}

TEST(TextReader, Numbers) {
    TextReader reader("-0.5 -inf 7 -0 nan 1e999", "t");
    EXPECT_EQ(reader.number(), -0.5);
    EXPECT_EQ(reader.number(), -std::numeric_limits<double>::infinity());
    EXPECT_EQ(reader.number(), 7);
    EXPECT_TRUE(std::signbit(reader.number()));
    EXPECT_TRUE(std::isnan(reader.number()));
    expect_error<IRConversionError>([&] { reader.number(); }, "number 1e999 does not fit a double");
}

RC_GTEST_PROP(TextReader, AnyBytesAreReadOrRefused, (const std::string &bytes)) {
    try {
        TextReader reader(bytes, "t");
        while (!reader.at_end()) {
            reader.next();
        }
    } catch (const IRConversionError &e) {
        RC_ASSERT(is_utf8(e.what()));
    }
}

RC_GTEST_PROP(TextReader, BytesOfTheFormatsAreReadOrRefused, ()) {
    auto bytes = *rc::gen::container<std::string>(
        rc::gen::elementOf(std::string("\"\\ud8DcE0123.-+#\n ae_$>=</&|\xc3\xa9\xf0\x9f")));
    try {
        tokens(bytes);
    } catch (const IRConversionError &e) {
        RC_ASSERT(is_utf8(e.what()));
    }
}

RC_GTEST_PROP(Text, QuotedReadsBack, (std::string text)) {
    for (char &c : text) {
        c &= 0x7f;
    }
    std::string all = text + "é😀";
    TextReader reader(quoted(all), "t");
    RC_ASSERT(reader.string() == all);
    RC_ASSERT(reader.at_end());
}

RC_GTEST_PROP(Text, NumberTextReadsBackTheSameBits, (uint64_t bits)) {
    auto value = std::bit_cast<double>(bits);
    double back = TextReader(number_text(value), "t").number();
    if (std::isnan(value)) {
        RC_ASSERT(std::isnan(back));
    } else {
        RC_ASSERT(std::bit_cast<uint64_t>(back) == bits);
    }
}

TEST(Text, NumberText) {
    EXPECT_EQ(number_text(0.5), "0.5");
    EXPECT_EQ(number_text(1e-6), "1e-06");
    EXPECT_EQ(number_text(3), "3");
    EXPECT_EQ(number_text(-std::numeric_limits<double>::infinity()), "-inf");
    EXPECT_EQ(number_text(-std::nan("")), "nan");
}

TEST(Text, Utf8) {
    EXPECT_TRUE(is_utf8("aé€😀"));
    for (const char *bad :
         {"\x80", "\xc3", "\xc1\x81", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf",
          "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xe2\x82"}) {
        EXPECT_FALSE(is_utf8(bad)) << quoted(bad);
    }
}

TEST(Text, Identifiers) {
    EXPECT_TRUE(is_identifier("q.rows$1"));
    for (const char *bad : {"", "1a", "a b", "é", "inf", "nan", "$a", ".a", "a-b"}) {
        EXPECT_FALSE(is_identifier(bad)) << bad;
    }
}

TEST(Text, NearestName) {
    std::vector<std::string> known = {"matmul", "maximum", "minimum", "exp", "load"};
    EXPECT_EQ(nearest_name("matmull", known), "matmul");
    EXPECT_EQ(nearest_name("mtamul", known), "matmul");
    EXPECT_EQ(nearest_name("maxmum", known), "maximum");
    EXPECT_EQ(nearest_name("MatMul", known), "matmul");
    EXPECT_EQ(nearest_name("exps", known), "exp");
    EXPECT_EQ(nearest_name("epx", known), "exp");
    EXPECT_EQ(nearest_name("softmax", known), "");
    EXPECT_EQ(nearest_name("", known), "");
    EXPECT_EQ(nearest_name("x", {"y"}), "");
}

TEST(Text, Join) {
    EXPECT_EQ(join({"a", "b", "c"}), "a, b, c");
    EXPECT_EQ(join({"a", "b"}, " x "), "a x b");
    EXPECT_EQ(join({}), "");
}

}  // namespace
}  // namespace pto::wsp
