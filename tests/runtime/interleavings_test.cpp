#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/deque.h"
#include "runtime/inbox.h"
#include "runtime/interleavings.h"
#include "runtime/sleepers.h"
#include "runtime/wake_list.h"
#include "runtime/window.h"

namespace pto::wsp::runtime {
namespace {

using testing::Exploration;
using testing::explore;
using ::testing::HasSubstr;
using testing::Scenario;
using testing::SteppedAtomics;

template <typename Value> using Atomic = SteppedAtomics::Atomic<Value>;

class Interleavings : public ::testing::Test {
protected:
    void SetUp() override {
        if (!testing::can_explore()) {
            GTEST_SKIP() << "fibers and this sanitizer do not go together";
        }
    }
};

/// What threads of a scenario share, which its functions keep alive.
template <typename Shared, typename... Threads>
std::shared_ptr<Scenario> scenario(std::shared_ptr<Shared> shared, Threads... threads) {
    auto made = std::make_shared<Scenario>();
    (made->threads.push_back([shared, threads] { threads(*shared); }), ...);
    made->check = [shared](bool all_ended) { return shared->check(all_ended); };
    return made;
}

void expect_right(const Exploration &result) {
    EXPECT_EQ(result.failure, "");
    EXPECT_FALSE(result.stopped_early);
    ::testing::Test::RecordProperty("runs", std::to_string(result.runs));
}

// What the explorer itself can see.

struct Counter {
    Atomic<int> value = 0;
    Atomic<int> other = 0;
    std::string check(bool /*all_ended*/) {
        return value.load() == 2 ? "" : "an increment was lost";
    }
};

TEST_F(Interleavings, SeesALostIncrement) {
    const auto increment = [](Counter &counter) { counter.value.store(counter.value.load() + 1); };
    const Exploration result =
        explore([&] { return scenario(std::make_shared<Counter>(), increment, increment); });
    EXPECT_THAT(result.failure, HasSubstr("an increment was lost; threads in turn: 0 1"));
    const auto at_once = [](Counter &counter) { counter.value.fetch_add(1); };
    expect_right(explore([&] { return scenario(std::make_shared<Counter>(), at_once, at_once); }));
}

TEST_F(Interleavings, CountsOrdersThatDifferOnce) {
    const auto twice = [](Counter &counter) {
        counter.value.fetch_add(2);
        counter.value.fetch_add(-1);
    };
    // Of two threads with two operations each on the same atomic: 4! / (2! 2!).
    EXPECT_EQ(explore([&] { return scenario(std::make_shared<Counter>(), twice, twice); }).runs, 6);
    const auto apart = [](Counter &counter) { counter.other.fetch_add(1); };
    EXPECT_EQ(explore([&] { return scenario(std::make_shared<Counter>(), twice, apart); }).runs, 1);
}

struct Sleep {
    Atomic<int> work = 0;
    Atomic<int> asleep = 0;
    bool looks_again = false;

    void sleep() {
        if (work.load() != 0) {
            return;
        }
        asleep.store(1);
        if (looks_again && work.load() != 0) {
            return;
        }
        asleep.wait(1);
    }
    void wake() {
        work.store(1);
        if (asleep.exchange(0) != 0) {
            asleep.notify_one();
        }
    }
    std::string check(bool all_ended) { return all_ended ? "" : "it sleeps for ever"; }
};

TEST_F(Interleavings, SeesALostWakeUp) {
    for (bool looks_again : {false, true}) {
        const Exploration result = explore([&] {
            auto shared = std::make_shared<Sleep>();
            shared->looks_again = looks_again;
            return scenario(
                shared, [](Sleep &sleep) { sleep.sleep(); }, [](Sleep &sleep) { sleep.wake(); });
        });
        EXPECT_EQ(result.failure.empty(), looks_again) << result.failure;
    }
}

// The deque: every item is taken exactly once.

struct Items {
    explicit Items(int64_t capacity) : deque(capacity) {}

    Deque<int, SteppedAtomics> deque;
    std::array<int, 8> items{};
    std::array<int, 8> taken{};
    int pushed = 0;

    void took(const int *item) {
        if (item != nullptr) {
            taken[static_cast<size_t>(item - items.data())]++;
        }
    }
    /// + pushes, - pops, 2 pushes two at once.
    void own(const std::string &program) {
        for (char op : program) {
            if (op == '+') {
                deque.push(&items[static_cast<size_t>(pushed++)]);
            } else if (op == '2') {
                const std::array<int *, 2> both{&items[static_cast<size_t>(pushed)],
                                                &items[static_cast<size_t>(pushed) + 1]};
                pushed += 2;
                deque.push_all(both);
            } else {
                took(deque.pop());
            }
        }
    }
    void steal(int times) {
        for (int i = 0; i < times; i++) {
            took(deque.steal());
        }
    }
    std::string check(bool all_ended) {
        while (const int *item = deque.pop()) {
            took(item);
        }
        const bool once = std::all_of(taken.begin(), taken.begin() + pushed,
                                      [](int times) { return times == 1; });
        return all_ended && once ? "" : "an item was not taken exactly once";
    }
};

TEST_F(Interleavings, TheDequeAndOneThief) {
    for (int64_t capacity : {1, 2, 4}) {
        for (const std::string program :
             {"+-", "++--", "+-+-", "+-+-+-", "++-+--", "2--", "2-2--", "+2--+-", "+++-+-"}) {
            for (int steals : {1, 2, 3}) {
                SCOPED_TRACE(program + ", " + std::to_string(steals) + " steals, capacity " +
                             std::to_string(capacity));
                expect_right(explore([&] {
                    return scenario(
                        std::make_shared<Items>(capacity),
                        [program](Items &items) { items.own(program); },
                        [steals](Items &items) { items.steal(steals); });
                }));
            }
        }
    }
}

TEST_F(Interleavings, TheDequeAndTwoThieves) {
    for (int64_t capacity : {1, 2}) {
        for (const std::string program : {"+-", "++-", "2--", "+-+", "++--"}) {
            SCOPED_TRACE(program + ", capacity " + std::to_string(capacity));
            const auto steal = [](Items &items) { items.steal(1); };
            expect_right(explore([&] {
                return scenario(
                    std::make_shared<Items>(capacity),
                    [program](Items &items) { items.own(program); }, steal, steal);
            }));
        }
    }
}

// The window: every task is made ready exactly once, after all that it waits for has ended.

struct Tasks {
    using Window = BasicWindow<SteppedAtomics>;

    explicit Tasks(int64_t capacity) : window(capacity, 0, 1) {
        for (int number = 1; number <= 2; number++) {
            window.open(number);
            began[static_cast<size_t>(number)] = 1;
        }
    }

    Window window;
    std::array<std::vector<int64_t>, 8> befores;
    std::array<int, 8> began{};
    std::array<bool, 8> over{};
    int64_t next = 3;
    int waiter_ready = 0;
    Atomic<int> waiter_told = 0;
    std::string wrong;

    /// Submits the next task behind `tasks`.
    void submit(std::vector<int64_t> tasks) {
        const int64_t number = next++;
        befores[static_cast<size_t>(number)] = tasks;
        auto &task = window.open(number);
        task.site = static_cast<int32_t>(number);
        uint32_t links = 0;
        for (int64_t before : tasks) {
            window.link(window.task(before), task, links);
        }
        if (Window::release(task, links)) {
            run(number);
        }
    }
    /// The same for the waiter.
    void wait_for(const std::vector<int64_t> &tasks) {
        auto &waiter = window.open_waiter(0);
        waiter.site = 0;
        uint32_t links = 0;
        for (int64_t before : tasks) {
            window.link(window.task(before), waiter, links);
        }
        waiter_ready += Window::release(waiter, links) ? 1 : 0;
    }
    void run(int64_t number) {
        const auto at = static_cast<size_t>(number);
        began[at]++;
        for (int64_t before : befores[at]) {
            if (!over[static_cast<size_t>(before)]) {
                wrong = "a task began before one that it waits for had ended";
            }
        }
        end(number);
    }
    /// By the thread that ran it, which goes on with what has become ready.
    void end(int64_t number) {
        over[static_cast<size_t>(number)] = true;
        std::vector<int64_t> ready;
        window.close(window.task(number), [&](const auto &after) {
            if (after.site == 0) {
                waiter_ready++;
                waiter_told.store(1);
                waiter_told.load();  // a stop before the next link is read
            } else {
                ready.push_back(after.site);
            }
        });
        for (int64_t task : ready) {
            run(task);
        }
    }
    std::string check(bool all_ended) {
        for (int64_t number = 1; number < next; number++) {
            if (began[static_cast<size_t>(number)] != 1) {
                return "task " + std::to_string(number) + " began " +
                       std::to_string(began[static_cast<size_t>(number)]) + " times";
            }
        }
        return all_ended ? wrong : "a thread waits for ever";
    }
};

const auto end_first = [](Tasks &tasks) { tasks.end(1); };
const auto end_second = [](Tasks &tasks) { tasks.end(2); };

TEST_F(Interleavings, ATaskBehindTwoThatEnd) {
    expect_right(explore([] {
        return scenario(
            std::make_shared<Tasks>(8),
            [](Tasks &tasks) {
                tasks.submit({1, 2});
            },
            end_first, end_second);
    }));
}

TEST_F(Interleavings, TwoTasksBehindTheSame) {
    expect_right(explore([] {
        return scenario(
            std::make_shared<Tasks>(8),
            [](Tasks &tasks) {
                tasks.submit({1});
                tasks.submit({1, 2, 3});
            },
            end_first, end_second);
    }));
}

TEST_F(Interleavings, TheSlotOfATaskThatHasEndedIsUsedAgain) {
    // Task 5 gets the slot of task 1, and so its links, while others may walk lists.
    expect_right(explore([] {
        return scenario(
            std::make_shared<Tasks>(4),
            [](Tasks &tasks) {
                tasks.submit({1, 2});
                tasks.submit({1});
                if (Tasks::Window::ended(tasks.window.task(1))) {
                    tasks.submit({2, 3});
                }
            },
            end_first, end_second);
    }));
}

TEST_F(Interleavings, AWaiterIsToldOnce) {
    struct Waiting : Tasks {
        using Tasks::Tasks;
        std::string check(bool all_ended) {
            return waiter_ready == 1 ? Tasks::check(all_ended) : "the waiter was not told once";
        }
    };
    expect_right(explore([] {
        return scenario(
            std::make_shared<Waiting>(8),
            [](Tasks &tasks) {
                tasks.submit({1});
                tasks.wait_for({1, 2, 3});
            },
            end_first, end_second);
    }));
}

TEST_F(Interleavings, ALinkIsNotReadOnceItsOwnerIsTold) {
    // The waiter is first in the list of task 1 and waits again as soon as it is told.
    // Links are no atomics, so orders count as different that differ in others alone.
    constexpr int most_preemptions = 4;
    expect_right(explore(
        [] {
            return scenario(
                std::make_shared<Tasks>(8),
                [](Tasks &tasks) {
                    tasks.submit({1});
                    tasks.wait_for({1});
                    if (tasks.waiter_told.load() != 0) {
                        tasks.wait_for({2});
                    }
                },
                end_first, end_second);
        },
        2'000'000, most_preemptions));
}

// The wake list: its owner sees whatever was put, and is queued exactly when it sleeps.

struct Wakes {
    BasicWakeList<SteppedAtomics> list;
    std::array<Job, 3> jobs{};
    Job poke;
    Atomic<int> poked = 0;
    Atomic<int> queued = 0;
    Atomic<int> happened = 0;  ///< outside
    int expected_jobs = 0;
    int expected_events = 0;
    int taken = 0;
    std::string wrong;

    void queue() {
        if (queued.exchange(1) != 0) {
            wrong = "the owner was queued twice";
        }
        queued.notify_one();
    }
    void put(size_t job) {
        if (list.put(jobs[job])) {
            queue();
        }
    }
    void happen() {
        happened.fetch_add(1);
        if (poked.exchange(1) == 0 && list.put(poke)) {
            queue();
        }
    }
    void own() {
        while (true) {
            Job *job = list.take();
            while (job != nullptr) {
                Job *next = job->next;
                if (job == &poke) {
                    poked.exchange(0);
                } else {
                    taken++;
                }
                job = next;
            }
            if (taken == expected_jobs && happened.load() == expected_events) {
                return;
            }
            if (list.sleep()) {
                queued.wait(0);
                queued.exchange(0);
            }
        }
    }
    std::string check(bool all_ended) { return all_ended ? wrong : "the owner sleeps for ever"; }
};

TEST_F(Interleavings, TheWakeListAndThoseWhoPut) {
    expect_right(explore([] {
        auto shared = std::make_shared<Wakes>();
        shared->expected_jobs = 3;
        return scenario(
            shared, [](Wakes &wakes) { wakes.own(); },
            [](Wakes &wakes) {
                wakes.put(0);
                wakes.put(1);
                wakes.put(2);
            });
    }));
    expect_right(explore([] {
        auto shared = std::make_shared<Wakes>();
        shared->expected_jobs = 2;
        return scenario(
            shared, [](Wakes &wakes) { wakes.own(); }, [](Wakes &wakes) { wakes.put(0); },
            [](Wakes &wakes) { wakes.put(1); });
    }));
}

TEST_F(Interleavings, TheWakeListWhenItIsPoked) {
    expect_right(explore([] {
        auto shared = std::make_shared<Wakes>();
        shared->expected_jobs = 1;
        shared->expected_events = 2;
        return scenario(
            shared, [](Wakes &wakes) { wakes.own(); },
            [](Wakes &wakes) {
                wakes.happen();
                wakes.put(0);
            },
            [](Wakes &wakes) { wakes.happen(); });
    }));
}

// Workers that sleep: none sleeps for ever while there is work.

struct Workers {
    explicit Workers(int count) : sleepers(count), inboxes(static_cast<size_t>(count)) {}

    BasicSleepers<SteppedAtomics> sleepers;
    Atomic<int> common = 0;
    std::vector<BasicInbox<SteppedAtomics>> inboxes;
    std::array<Job, 2> jobs{};
    int added = 0;
    int done = 0;
    bool meets = false;  ///< a job ends only once another one runs too
    Atomic<int> running = 0;

    void run() {
        done++;
        if (meets && running.fetch_add(1) == 0) {
            running.wait(1);
        } else if (meets) {
            running.notify_one();
        }
    }
    void add_common() {
        added++;
        common.fetch_add(1);
        sleepers.wake_one();
    }
    void deliver(int worker, size_t job) {
        added++;
        inboxes[static_cast<size_t>(worker)].put(jobs[job]);
        sleepers.rouse(worker);
    }
    bool take(int worker) {
        if (inboxes[static_cast<size_t>(worker)].take() != nullptr) {
            return true;
        }
        int count = common.load();
        while (count > 0 && !common.compare_exchange_strong(count, count - 1)) {
        }
        return count > 0;
    }
    void work(int worker) {
        const auto sees_work = [&] {
            return !inboxes[static_cast<size_t>(worker)].empty() || common.load() > 0;
        };
        while (true) {
            sleepers.begin_search();
            const bool found = take(worker);
            sleepers.end_search(found, sees_work);
            if (found) {
                run();
            } else {
                sleepers.sleep(worker, sees_work);
            }
        }
    }
    /// Workers sleep in the end, but never before all is done.
    std::string check(bool /*all_ended*/) const {
        return done == added ? "" : "a worker sleeps though there is work";
    }
};

const auto work_first = [](Workers &workers) { workers.work(0); };
const auto work_second = [](Workers &workers) { workers.work(1); };

TEST_F(Interleavings, AWorkerThatSleeps) {
    expect_right(explore([] {
        return scenario(std::make_shared<Workers>(1), work_first, [](Workers &workers) {
            workers.add_common();
            workers.add_common();
        });
    }));
    expect_right(explore([] {
        return scenario(std::make_shared<Workers>(1), work_first,
                        [](Workers &workers) { workers.deliver(0, 0); });
    }));
}

// Of more threads there are too many orders for all: those in which few are left in between.
constexpr int most_preemptions = 3;

TEST_F(Interleavings, AWorkerAndTwoWhoAdd) {
    expect_right(explore(
        [] {
            return scenario(
                std::make_shared<Workers>(1), work_first,
                [](Workers &workers) { workers.deliver(0, 0); },
                [](Workers &workers) { workers.add_common(); });
        },
        2'000'000, most_preemptions));
}

TEST_F(Interleavings, TwoWorkersThatSleep) {
    expect_right(explore(
        [] {
            return scenario(std::make_shared<Workers>(2), work_first, work_second,
                            [](Workers &workers) {
                                workers.add_common();
                                workers.add_common();
                            });
        },
        2'000'000, most_preemptions));
}

TEST_F(Interleavings, NoWorkerSleepsWhileAnotherHasMoreThanItCanDo) {
    expect_right(explore(
        [] {
            auto shared = std::make_shared<Workers>(2);
            shared->meets = true;
            return scenario(shared, work_first, work_second, [](Workers &workers) {
                workers.add_common();
                workers.add_common();
            });
        },
        2'000'000, most_preemptions));
}

}  // namespace
}  // namespace pto::wsp::runtime
