#include "pto/wsp/runtime/arena.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <random>
#include <string>
#include <thread>
#include <utility>
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
    int64_t once = arena_stats().high_water_bytes;
    EXPECT_GE(once, static_cast<int64_t>(bytes));
    for (int i = 0; i < 4; i++) {
        std::thread(use).join();
    }
    EXPECT_EQ(arena_stats().high_water_bytes, once);
}

constexpr int64_t mib = int64_t(1) << 20;

void use(int64_t bytes) {
    arena_free(arena_allocate(static_cast<size_t>(bytes)));
}

TEST(Arena, GivesBackWhatIsNoLongerUsed) {
    std::thread([] {
        const int64_t before = arena_stats().held_bytes;
        auto held = [&] { return arena_stats().held_bytes - before; };
        std::vector<void *> blocks;
        for (int i = 0; i < 3; i++) {
            blocks.push_back(arena_allocate(100 * mib));
        }
        EXPECT_GE(held(), 300 * mib);
        for (void *block : blocks) {
            arena_free(block);
        }
        // For the next task, which may well need as much.
        EXPECT_GE(held(), 300 * mib);
        for (int i = 0; i < 3000; i++) {
            use(2 * mib);
        }
        EXPECT_LE(held(), 2 * 3 * mib + 32 * mib);
        EXPECT_GE(held(), 2 * mib);
    }).join();
}

TEST(Arena, KeepsNoMoreThanABoundOfBlocksOfMixedSizes) {
    std::thread([] {
        const int64_t before = arena_stats().held_bytes;
        int64_t most = 0;
        for (int64_t size : {1, 3, 7, 15, 31, 63}) {
            for (int64_t count = 1; count * size <= 64; count++) {
                std::vector<void *> blocks;
                for (int64_t i = 0; i < count; i++) {
                    blocks.push_back(arena_allocate(static_cast<size_t>(size * mib)));
                }
                for (void *block : blocks) {
                    arena_free(block);
                }
                // A block is at most a quarter larger than asked for, or was free and twice so.
                most = std::max(most, arena_stats().held_bytes - before);
            }
        }
        EXPECT_LE(most, 2 * 2 * 64 * mib + 32 * mib);
        EXPECT_GE(most, 63 * mib);
    }).join();
}

TEST(Arena, TakesAFreeBlockUpToTwiceAsLarge) {
    std::thread([] {
        void *block = arena_allocate(1800);
        arena_free(block);
        EXPECT_EQ(arena_allocate(1000), block);
        void *other = arena_allocate(1000);
        EXPECT_NE(other, block);
        arena_free(other);
        arena_free(block);
    }).join();
}

TEST(Arena, LargeBlocksAreOfHugePages) {
    std::ifstream file("/sys/kernel/mm/transparent_hugepage/enabled");
    std::string setting;
    const bool granted =
        std::getline(file, setting) && setting.find("[never]") == std::string::npos;
    std::thread([&] {
        const int64_t before = arena_stats().huge_page_bytes;
        void *block = arena_allocate(64 * mib);
        EXPECT_EQ(arena_stats().huge_page_bytes - before >= 64 * mib, granted);
        // Behind the block's own header.
        EXPECT_EQ(reinterpret_cast<uintptr_t>(block) % (2 * mib), 64U);
        std::memset(block, 1, 64 * mib);
        arena_free(block);
    }).join();
    std::thread([&] {
        const int64_t before = arena_stats().huge_page_bytes;
        use(1000);
        EXPECT_EQ(arena_stats().huge_page_bytes, before);
    }).join();
}

class ArenaThreads : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Workers, ArenaThreads, ::testing::Values(1, 2, 4, 8));

/// Every thread fills its blocks with its own number and finds it there as long as they are its.
TEST_P(ArenaThreads, HaveBlocksOfTheirOwn) {
    std::vector<std::thread> threads;
    for (int t = 0; t < GetParam(); t++) {
        threads.emplace_back([t] {
            std::mt19937 random(static_cast<uint32_t>(t));
            std::vector<std::pair<unsigned char *, size_t>> blocks;
            auto holds = [&](const auto &block) {
                return std::all_of(block.first, block.first + block.second,
                                   [&](unsigned char byte) { return byte == t + 1; });
            };
            for (int i = 0; i < 2000; i++) {
                if (blocks.size() < 12 && random() % 2 == 0) {
                    const size_t bytes = random() % 50 == 0 ? 3 * mib / 2 : random() % 4000;
                    auto *block = static_cast<unsigned char *>(arena_allocate(bytes));
                    std::memset(block, t + 1, bytes);
                    blocks.emplace_back(block, bytes);
                } else if (!blocks.empty()) {
                    std::swap(blocks[random() % blocks.size()], blocks.back());
                    EXPECT_TRUE(holds(blocks.back()));
                    arena_free(blocks.back().first);
                    blocks.pop_back();
                }
            }
            for (const auto &block : blocks) {
                EXPECT_TRUE(holds(block));
                arena_free(block.first);
            }
        });
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
}

#ifdef __SANITIZE_ADDRESS__
TEST(ArenaDeathTest, WhatIsNotAllocatedCannotBeTouched) {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    for (size_t bytes : {size_t(100), size_t(3 * mib - 100)}) {
        EXPECT_DEATH(
            {
                auto *block = static_cast<volatile char *>(arena_allocate(bytes));
                arena_free(const_cast<char *>(block));
                block[0] = 1;
            },
            "use-after-poison");
        EXPECT_DEATH(
            {
                auto *block = static_cast<volatile char *>(arena_allocate(bytes));
                block[bytes] = 1;
            },
            "use-after-poison");
    }
}
#endif

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
