#include "pto/wsp/runtime/arena.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "pto/wsp/core/abi.h"

namespace pto::wsp::runtime {
namespace {

TEST(Arena, BlocksAreAlignedAndApart) {
    rc::check([] {
        auto sizes = *rc::gen::container<std::vector<size_t>>(rc::gen::oneOf(
            rc::gen::inRange<size_t>(0, 5000), rc::gen::inRange<size_t>(0, size_t(1) << 20)));
        std::vector<unsigned char *> blocks;
        for (size_t i = 0; i < sizes.size(); i++) {
            auto *block = static_cast<unsigned char *>(halide_malloc(nullptr, sizes[i]));
            RC_ASSERT(reinterpret_cast<uintptr_t>(block) % 64 == 0U);
            std::memset(block, static_cast<int>(i), sizes[i]);
            blocks.push_back(block);
        }
        for (size_t i = 0; i < sizes.size(); i++) {
            RC_ASSERT(std::all_of(blocks[i], blocks[i] + sizes[i], [&](unsigned char byte) {
                return byte == static_cast<unsigned char>(i);
            }));
        }
        // Out of order, as nested scopes of a kernel never do but the contract allows.
        std::rotate(blocks.begin(), blocks.begin() + static_cast<int64_t>(blocks.size()) / 2,
                    blocks.end());
        for (unsigned char *block : blocks) {
            halide_free(nullptr, block);
        }
    });
}

TEST(Arena, ReusesBlocksOfASizeClass) {
    for (size_t bytes : {size_t(1), size_t(700), size_t(2) << 20}) {
        void *first = arena_allocate(bytes);
        arena_free(first);
        EXPECT_EQ(arena_allocate(bytes), first);
        arena_free(first);
    }
}

TEST(Arena, FreeTakesNull) {
    arena_free(nullptr);
}

TEST(Arena, GivesMemoryBackAtTheEndOfTheThread) {
    constexpr size_t bytes = size_t(64) << 20;
    auto use = [] { arena_free(arena_allocate(bytes)); };
    std::thread(use).join();
    int64_t once = arena_high_water_bytes();
    EXPECT_GE(once, static_cast<int64_t>(bytes));
    for (int i = 0; i < 4; i++) {
        std::thread(use).join();
    }
    EXPECT_EQ(arena_high_water_bytes(), once);
}

TEST(GuardedCall, ReturnsTheStatus) {
    const char *text = nullptr;
    int argument = 42;
    EXPECT_EQ(
        guarded_call([](void *closure) { return *static_cast<int *>(closure); }, &argument, &text),
        42);
    EXPECT_EQ(text, nullptr);
}

TEST(GuardedCall, DeliversTheTextOfAnError) {
    const char *text = nullptr;
    int status = guarded_call(
        [](void *) {
            // Lies in the frame that the error leaves.
            std::array<char, 32> message{};
            std::snprintf(message.data(), message.size(), "row %d is bad", 3);
            halide_error(nullptr, message.data());
            return 0;
        },
        nullptr, &text);
    EXPECT_EQ(status, -1);
    EXPECT_STREQ(text, "row 3 is bad");
}

TEST(GuardedCall, Nests) {
    const char *outer = nullptr;
    int status = guarded_call(
        [](void *) {
            const char *inner = nullptr;
            int inner_status = guarded_call(
                [](void *) {
                    halide_error(nullptr, "inner");
                    return 0;
                },
                nullptr, &inner);
            EXPECT_EQ(inner_status, -1);
            EXPECT_STREQ(inner, "inner");
            halide_error(nullptr, "outer");
            return 0;
        },
        nullptr, &outer);
    EXPECT_EQ(status, -1);
    EXPECT_STREQ(outer, "outer");
}

TEST(GuardedCall, ExhaustedMemoryIsAnError) {
    for (size_t bytes : {size_t(1) << 45, (size_t(1) << 46) + 1, SIZE_MAX}) {
        const char *text = nullptr;
        int status = guarded_call(
            [](void *closure) {
                halide_malloc(nullptr, *static_cast<size_t *>(closure));
                return 0;
            },
            &bytes, &text);
        EXPECT_EQ(status, -1);
        ASSERT_NE(text, nullptr);
        EXPECT_EQ(text, "out of memory: " + std::to_string(bytes) + " bytes of scratch asked for");
    }
}

TEST(GuardedCall, TakesBackTheMemoryOfTheFailedCode) {
    void *kept = arena_allocate(1000);
    auto fail = [](void *closure) {
        auto *blocks = static_cast<std::vector<void *> *>(closure);
        blocks->push_back(halide_malloc(nullptr, 1000));
        blocks->push_back(halide_malloc(nullptr, 1000));
        halide_error(nullptr, "no");
        return 0;
    };
    std::vector<void *> first;
    std::vector<void *> second;
    const char *text = nullptr;
    EXPECT_EQ(guarded_call(fail, &first, &text), -1);
    EXPECT_EQ(guarded_call(fail, &second, &text), -1);
    std::sort(first.begin(), first.end());
    std::sort(second.begin(), second.end());
    EXPECT_EQ(first, second);
    EXPECT_EQ(std::count(first.begin(), first.end(), kept), 0);
    arena_free(kept);
}

TEST(GuardedCallDeathTest, AnErrorOutsideEndsTheProcessWithItsText) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    EXPECT_DEATH(halide_error(nullptr, "lost"), "generated code failed outside of a task: lost");
}

}  // namespace
}  // namespace pto::wsp::runtime
