#include "pto/wsp/support/json.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <limits>

#include "support/expect_error.h"

namespace pto::wsp {
namespace {

Json parse(const std::string &text) {
    return parse_json(text, "steps.json");
}

rc::Gen<Json> any_json(int depth) {
    auto leaf = rc::gen::oneOf(
        rc::gen::map(rc::gen::arbitrary<int64_t>(), [](int64_t v) { return Json(v); }),
        rc::gen::map(rc::gen::arbitrary<uint64_t>(), [](uint64_t v) { return Json(v); }),
        rc::gen::map(rc::gen::arbitrary<double>(), [](double v) { return Json(v); }),
        rc::gen::map(rc::gen::string<std::string>(),
                     [](std::string v) {
                         for (char &c : v) {
                             c &= 0x7f;
                         }
                         return Json(v);
                     }),
        rc::gen::element(Json(nullptr), Json(true), Json(false)));
    if (depth == 0) {
        return leaf;
    }
    auto items = rc::gen::container<std::vector<Json>>(any_json(depth - 1));
    return rc::gen::oneOf(leaf,
                          rc::gen::map(items, [](const std::vector<Json> &v) { return Json(v); }),
                          rc::gen::map(items, [](const std::vector<Json> &v) {
                              Json object = Json::object();
                              for (size_t i = 0; i < v.size(); ++i) {
                                  object["key" + std::to_string(v.size() - i)] = v[i];
                              }
                              return object;
                          }));
}

TEST(Json, CanonicalText) {
    EXPECT_EQ(canonical_json(parse(R"( { "b" : [ 1 , 2.50, -0.0 ], "a":{"z":null,"y":true} } )")),
              R"({"a":{"y":true,"z":null},"b":[1,2.5,-0.0]})");
    EXPECT_EQ(canonical_json(Json::array()), "[]");
    EXPECT_EQ(canonical_json(Json::object()), "{}");
}

TEST(Json, CanonicalNumbersAreShortestAndKeepTheirKind) {
    EXPECT_EQ(canonical_json(Json(0.1)), "0.1");
    EXPECT_EQ(canonical_json(Json(1.0)), "1.0");
    EXPECT_EQ(canonical_json(Json(1)), "1");
    EXPECT_EQ(canonical_json(Json(1e-6)), "1e-06");
    EXPECT_EQ(canonical_json(Json(5e-324)), "5e-324");
    EXPECT_EQ(canonical_json(Json(std::numeric_limits<uint64_t>::max())), "18446744073709551615");
    EXPECT_EQ(canonical_json(Json(std::numeric_limits<int64_t>::min())), "-9223372036854775808");
}

RC_GTEST_PROP(Json, CanonicalTextParsesBack, ()) {
    Json value = *any_json(3);
    std::string text = canonical_json(value);
    Json back = parse(text);
    RC_ASSERT(back == value);
    RC_ASSERT(canonical_json(back) == text);
}

TEST(Json, WhatJsonCannotSayIsRefused) {
    expect_error<IRConversionError>([] { canonical_json(Json(std::nan(""))); },
                                    "json has no number nan");
    expect_error<IRConversionError>(
        [] {
            canonical_json(Json{1, -INFINITY});
        },
        "json has no number -inf");
    expect_error<IRConversionError>([] { canonical_json(Json("\xff")); },
                                    "json text is utf-8, and a string of 1 bytes is not");
    expect_error<IRConversionError>([] { canonical_json(Json::binary({1})); },
                                    "json has no value of kind binary");
}

TEST(Json, SyntaxErrorsNameTheLine) {
    try {
        parse("{\n  \"a\": tru\n}");
        FAIL();
    } catch (const IRConversionError &e) {
        EXPECT_EQ(e.at(), (Loc{"steps.json", 2}));
        EXPECT_TRUE(e.text().starts_with("not valid json: syntax error while parsing value"))
            << e.text();
    }
    EXPECT_THROW(parse(""), IRConversionError);
    EXPECT_THROW(parse("1 2"), IRConversionError);
    EXPECT_THROW(parse("[1,]"), IRConversionError);
    EXPECT_THROW(parse("NaN"), IRConversionError);
    EXPECT_THROW(parse("1e999"), IRConversionError);
}

TEST(Json, DuplicateKeysAreRefusedAtTheirLine) {
    try {
        parse("{\"a\": 1,\n \"b\": {\"a\": 2},\n \"a\": 3}");
        FAIL();
    } catch (const IRConversionError &e) {
        EXPECT_STREQ(e.what(), "steps.json:3: error: duplicate key \"a\"");
    }
}

TEST(Json, DepthIsBounded) {
    auto nested = [](size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
    EXPECT_EQ(canonical_json(parse(nested(max_json_depth))), nested(max_json_depth));
    expect_error<IRConversionError>([&] { parse(nested(max_json_depth + 1)); },
                                    "json nests deeper than 256");
    expect_error<IRConversionError>([&] { parse(std::string(1000000, '[')); },
                                    "json nests deeper than 256");
    Json built;
    for (int i = 0; i < 100000; ++i) {
        Json outer = Json::array();
        outer.push_back(std::move(built));
        built = std::move(outer);
    }
    expect_error<IRConversionError>([&] { canonical_json(built); }, "json nests deeper than 256");
}

RC_GTEST_PROP(Json, AnyBytesParseOrAreRefused, (const std::string &bytes)) {
    try {
        canonical_json(parse(bytes));
    } catch (const IRConversionError &e) {
        for (char c : std::string(e.what())) {
            RC_ASSERT(static_cast<unsigned char>(c) < 0x80);
        }
    }
}

}  // namespace
}  // namespace pto::wsp
