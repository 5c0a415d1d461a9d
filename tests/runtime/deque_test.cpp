#include "runtime/deque.h"

#include <atomic>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "runtime/inbox.h"

namespace pto::wsp::runtime {
namespace {

TEST(Deque, OwnerTakesTheNewestAndThievesTheOldest) {
    Deque<int> deque;
    std::vector<int> items{0, 1, 2, 3};
    for (int &item : items) {
        deque.push(&item);
    }
    EXPECT_EQ(deque.pop(), &items[3]);
    EXPECT_EQ(deque.steal(), &items[0]);
    EXPECT_EQ(deque.pop(), &items[2]);
    EXPECT_FALSE(deque.empty());
    EXPECT_EQ(deque.steal(), &items[1]);
    EXPECT_TRUE(deque.empty());
    EXPECT_EQ(deque.pop(), nullptr);
    EXPECT_EQ(deque.steal(), nullptr);
}

TEST(Deque, BehavesLikeADoubleEndedListInOneThread) {
    rc::check([](const std::vector<uint8_t> &actions) {
        std::vector<size_t> items(actions.size());
        Deque<size_t> deque(1);
        std::vector<const size_t *> model;
        for (size_t i = 0; i < items.size(); i++) {
            if (actions[i] % 4 < 2) {
                deque.push(&items[i]);
                model.push_back(&items[i]);
            } else if (actions[i] % 4 == 2) {
                const size_t *expected = model.empty() ? nullptr : model.back();
                RC_ASSERT(deque.pop() == expected);
                model.resize(model.size() - (model.empty() ? 0 : 1));
            } else {
                const size_t *expected = model.empty() ? nullptr : model.front();
                RC_ASSERT(deque.steal() == expected);
                model.erase(model.begin(), model.begin() + (model.empty() ? 0 : 1));
            }
            RC_ASSERT(deque.empty() == model.empty());
        }
    });
}

/// Every item is taken exactly once while an owner pushes and pops and thieves steal.
void check_each_taken_once(int thieves, int count, int64_t capacity) {
    Deque<std::atomic<int>> deque(capacity);
    std::vector<std::atomic<int>> taken(static_cast<size_t>(count));
    std::atomic<int> total = 0;
    auto take = [&](std::atomic<int> *item) {
        if (item != nullptr) {
            item->fetch_add(1);
            total++;
        }
    };
    std::vector<std::thread> threads;
    for (int i = 0; i < thieves; i++) {
        threads.emplace_back([&] {
            while (total < count) {
                take(deque.steal());
            }
        });
    }
    for (int i = 0; i < count; i++) {
        deque.push(&taken[static_cast<size_t>(i)]);
        // Mostly near empty, where owner and thieves want the same item.
        if (i % 3 != 0) {
            take(deque.pop());
        }
    }
    while (total < count) {
        take(deque.pop());
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
    for (const std::atomic<int> &times : taken) {
        ASSERT_EQ(times, 1);
    }
}

TEST(Deque, GivesEachItemToOneThread) {
    for (int thieves : {1, 3, 7}) {
        check_each_taken_once(thieves, 20000, 256);
    }
}

TEST(Deque, GivesEachItemToOneThreadWhileItGrows) {
    for (int round = 0; round < 20; round++) {
        check_each_taken_once(3, 2000, 1);
    }
}

TEST(Inbox, ServesInTheOrderOfArrival) {
    Inbox inbox;
    std::vector<Job> jobs(4);
    inbox.put(jobs[0]);
    inbox.put(jobs[1]);
    EXPECT_EQ(inbox.take(), &jobs[0]);
    inbox.put(jobs[2]);
    inbox.put(jobs[3]);
    for (size_t i = 1; i < jobs.size(); i++) {
        EXPECT_FALSE(inbox.empty());
        EXPECT_EQ(inbox.take(), &jobs[i]);
    }
    EXPECT_TRUE(inbox.empty());
    EXPECT_EQ(inbox.take(), nullptr);
}

TEST(Inbox, KeepsTheOrderOfEachOfManyPutters) {
    constexpr size_t putters = 4;
    constexpr size_t count = 5000;
    Inbox inbox;
    std::vector<std::vector<Job>> jobs(putters, std::vector<Job>(count));
    std::vector<std::thread> threads;
    for (std::vector<Job> &mine : jobs) {
        threads.emplace_back([&inbox, &mine] {
            for (Job &job : mine) {
                inbox.put(job);
            }
        });
    }
    std::vector<size_t> seen(putters);
    for (size_t total = 0; total < putters * count;) {
        Job *job = inbox.take();
        for (size_t i = 0; i < putters && job != nullptr; i++) {
            if (job >= jobs[i].data() && job < jobs[i].data() + count) {
                ASSERT_EQ(job, &jobs[i][seen[i]++]);
                total++;
            }
        }
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
    EXPECT_TRUE(inbox.empty());
}

}  // namespace
}  // namespace pto::wsp::runtime
