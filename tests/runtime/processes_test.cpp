#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "runtime/nets.h"

namespace pto::wsp::runtime {
namespace {

using testing::address;
using testing::at_address;
using testing::close;
using testing::consume;
using ::testing::ElementsAre;
using testing::end;
using ::testing::HasSubstr;
using testing::main_process;
using testing::Net;
using testing::Op;
using testing::plan_of;
using testing::reading;
using testing::repeat;
using testing::run;
using testing::send;
using testing::site_of;
using testing::task;
using testing::time_limit;
using testing::try_send;
using testing::writing;

class Processes : public ::testing::TestWithParam<int> {
protected:
    Executor executor{GetParam()};

    RunStats run_net(Net &net, int window = 8192) {
        return run(executor, plan_of(net.graph(window)), {address(&net)});
    }

    /// The error that the net ends with.
    template <typename Error> std::unique_ptr<Error> error_of(Net &net) {
        try {
            run_net(net);
        } catch (const Error &error) {
            EXPECT_EQ(typeid(error), typeid(Error)) << error.what();
            return std::make_unique<Error>(error);
        }
        ADD_FAILURE() << "no error";
        return std::make_unique<Error>(Loc{}, "");
    }

    std::string deadlock_of(Net &net) { return error_of<ChannelError>(net)->text(); }
};

INSTANTIATE_TEST_SUITE_P(Workers, Processes, ::testing::Values(1, 2, 4, 8));

/// A source of `tokens`, `stages` - 1 processes that pass them on, each through a task, the last of
/// which only takes them.
std::vector<std::vector<Op>> pipeline(int stages, int64_t tokens) {
    if (stages == 1) {
        return {{repeat(tokens), task(), end()}};
    }
    std::vector<std::vector<Op>> programs{{repeat(tokens), send(0), end()}};
    for (int i = 1; i < stages - 1; i++) {
        programs.push_back({consume({i - 1}), send(i), end()});
    }
    programs.push_back({consume({stages - 2}), task(), end()});
    return programs;
}

TEST_P(Processes, Pipelines) {
    for (int stages = 1; stages <= 5; stages++) {
        for (int64_t depth : {0, 1, 2, 7}) {
            for (int64_t tokens : {0, 1, 3, 1000}) {
                SCOPED_TRACE(std::to_string(stages) + " stages, depth " + std::to_string(depth) +
                             ", " + std::to_string(tokens) + " tokens");
                Net net(pipeline(stages, tokens),
                        std::vector<int64_t>(static_cast<size_t>(stages) - 1, depth));
                run_net(net);
                EXPECT_EQ(net.wrong(), 0);
                EXPECT_EQ(net.tasks_run(), stages * tokens);
                EXPECT_EQ(net.received(), net.simulate().received);
                for (const Net::Traffic &traffic : net.traffic()) {
                    EXPECT_LE(traffic.most_in_flight, depth + 1);
                    EXPECT_EQ(traffic.in_flight, 0);
                }
            }
        }
    }
}

TEST_P(Processes, ANetThroughASmallWindow) {
    for (int window : {1, 2, 5, 64}) {
        Net net(pipeline(3, 500), {2, 7});
        run_net(net, window);
        EXPECT_EQ(net.wrong(), 0);
        EXPECT_EQ(net.tasks_run(), 1500);
    }
}

TEST_P(Processes, ManySendersToOneReceiver) {
    for (int64_t depth : {0, 1, 5}) {
        Net net({{repeat(200), send(0), end()},
                 {repeat(300), send(0), end()},
                 {repeat(100), send(0), end()},
                 {consume({0}), task(), end()}},
                {depth});
        run_net(net);
        EXPECT_EQ(net.wrong(), 0);
        EXPECT_EQ(net.received()[3].size(), 600U);
        EXPECT_EQ(net.tasks_run(), 1200);
    }
}

TEST_P(Processes, ARequestAndItsAnswer) {
    // b answers each request of a before a sends the next.
    for (int64_t depth : {0, 1}) {
        Net net({{repeat(300), send(0), end()},
                 {consume({0}), send(1), end()},
                 {consume({1}), send(2), end()},
                 {consume({2}), end()}},
                {depth, 0, depth});
        run_net(net);
        EXPECT_EQ(net.wrong(), 0);
        EXPECT_EQ(net.received(), net.simulate().received);
    }
}

TEST_P(Processes, AChannelClosesWhenAllItsSendersHaveEnded) {
    Net net({{repeat(3), send(0), end()},
             {repeat(5), send(0), end(), repeat(40), task(), end()},
             {consume({0}), task(), end(), task()}},
            {20});
    run_net(net);
    EXPECT_EQ(net.tasks_run(), 8 + 40 + 8 + 1);
}

TEST_P(Processes, ClosingAChannelLeavesWhatItHolds) {
    Net net({{repeat(4), send(0), end(), close(0), repeat(10), task(), end()},
             {consume({0}), task(), end()}},
            {7});
    run_net(net);
    EXPECT_EQ(net.received()[1].size(), 4U);
    EXPECT_EQ(net.tasks_run(), 4 + 10 + 4);
}

TEST_P(Processes, SendingToAClosedChannel) {
    Net net({{send(0), close(0), send(0)}, {consume({0}), task(), end()}}, {3});
    const auto error = error_of<ChannelClosed>(net);
    EXPECT_EQ(error->text(), "process a sends to channel c0, which is closed");
    EXPECT_EQ(error->at().str(), "user.py:7");
    Net tried({{close(0), try_send(0)}, {consume({0}), task(), end()}}, {3});
    EXPECT_EQ(error_of<ChannelClosed>(tried)->text(),
              "process a sends to channel c0, which is closed");
    // Also one that waits for room meanwhile.
    Net waiting(
        {{send(0), send(0)}, {send(1), close(0)}, {consume({1}), end(), consume({0}), end()}},
        {1, 0});
    EXPECT_EQ(error_of<ChannelClosed>(waiting)->text(),
              "process a sends to channel c0, which is closed");
}

TEST_P(Processes, TwoThatWaitForEachOtherToSend) {
    Net net({{consume({0}), end(), send(1)}, {consume({1}), end(), send(0)}}, {1, 1});
    const auto error = error_of<ChannelError>(net);
    EXPECT_EQ(error->text(),
              "deadlock: process a waits to receive from c0 (empty) <- process b waits to receive "
              "from c1 (empty) <- process a");
    EXPECT_EQ(error->at().str(), "net.py:1");
    ASSERT_EQ(error->notes().size(), 2U);
    EXPECT_EQ(error->notes()[1].at.str(), "net.py:2");
    EXPECT_EQ(error->notes()[1].text, "process b waits to receive from c1 (empty)");
}

TEST_P(Processes, TwoThatSendTooMuchBeforeTheyReceive) {
    Net net({{repeat(4), send(0), end(), consume({1}), end()},
             {repeat(4), send(1), end(), consume({0}), end()}},
            {2, 3});
    const auto error = error_of<ChannelError>(net);
    EXPECT_EQ(error->text(),
              "deadlock: process a waits to send to c0 (full, depth 2) <- process b waits to send "
              "to c1 (full, depth 3) <- process a");
    EXPECT_EQ(error->at().str(), "user.py:7");
    EXPECT_EQ(net.tasks_run(), 5);
}

TEST_P(Processes, ARingOfRendezvous) {
    Net net({{send(0), consume({2}), end()},
             {send(1), consume({0}), end()},
             {send(2), consume({1}), end()}},
            {0, 0, 0});
    EXPECT_EQ(deadlock_of(net),
              "deadlock: process a waits until what it sent to c0 is taken (depth 0) <- process b "
              "waits until what it sent to c1 is taken (depth 0) <- process c waits until what it "
              "sent to c2 is taken (depth 0) <- process a");
}

TEST_P(Processes, OnlyTheCircleIsNamed) {
    // c waits for a, which is in a circle with b; d comes to its end.
    Net net({{consume({0}), end(), send(1), send(2)},
             {consume({1}), end(), send(0)},
             {consume({2}), end()},
             {repeat(50), task(), end()}},
            {1, 1, 1});
    const auto error = error_of<ChannelError>(net);
    EXPECT_EQ(error->text(),
              "deadlock: process a waits to receive from c0 (empty) <- process b waits to receive "
              "from c1 (empty) <- process a");
    ASSERT_EQ(error->notes().size(), 3U);
    EXPECT_EQ(error->notes()[2].text, "process c waits to receive from c2 (empty)");
    EXPECT_EQ(net.tasks_run(), 50);
}

TEST_P(Processes, SendingWhatNobodyTakesAnyMore) {
    Net full({{repeat(9), send(0), end()},
              {consume({1}), end()},
              {send(1), consume({2}), end()},
              {repeat(3), task(), end()}},
             {2, 0, 0});
    // b's channel has a sender, but c waits for a channel without one.
    EXPECT_THAT(
        deadlock_of(full),
        HasSubstr("process a waits to send to c0 (full, depth 2), which no process receives "
                  "from any more"));
    Net silent({{consume({0}), end()}, {task()}}, {1});
    EXPECT_EQ(deadlock_of(silent),
              "deadlock: process a waits to receive from c0 (empty), which no process sends to");
}

TEST_P(Processes, ADeadlockBehindALongTask) {
    // What was submitted before still runs.
    Op slow = send(0);
    slow.work = 3'000'000;
    Net net({{slow, consume({1}), end()},
             {consume({0}), task(), end(), consume({1}), end()},
             {consume({1}), end(), send(1)}},
            {1, 1});
    EXPECT_THAT(deadlock_of(net), HasSubstr("waits to receive from c1 (empty)"));
    EXPECT_EQ(net.tasks_run(), 2);
}

TEST_P(Processes, TryingDropsWhatHasNoRoom) {
    // The first three always have room; after that it depends on what has ended.
    Net net({{repeat(2000), try_send(0), end()}, {consume({0}), task(), end()}}, {2});
    run_net(net);
    const auto taken = static_cast<int64_t>(net.received()[1].size());
    EXPECT_EQ(net.tried()[0], taken);
    EXPECT_GE(taken, 2);
    EXPECT_EQ(net.tasks_run(), 2 * taken);
    EXPECT_EQ(net.wrong(), 0);
    EXPECT_LE(net.traffic()[0].most_in_flight, 3);
}

TEST_P(Processes, TryingHasRoomOnlyWhenABodyHasReallyEnded) {
    // No task runs before the end of the first step, in which all is tried: a token for each slot.
    for (int64_t depth : {1, 2, 5}) {
        Net net({{repeat(40), try_send(0), end()}, {consume({0}), task(), end()}}, {depth});
        run_net(net);
        EXPECT_EQ(net.tried()[0], depth + 1);
        EXPECT_EQ(net.tasks_run(), 2 * (depth + 1));
    }
}

TEST_P(Processes, TryingWithoutDepthNeedsAReceiverThatWaits) {
    Net net(
        {{repeat(10), try_send(0), end()}, {send(1), consume({0}), end()}, {consume({1}), end()}},
        {0, 0});
    run_net(net);
    EXPECT_LE(net.tried()[0], 10);
    Net never({{repeat(10), try_send(0), end()}, {repeat(1), task(), end(), consume({0}), end()}},
              {0});
    run_net(never);
    EXPECT_EQ(never.received()[1].size(), static_cast<size_t>(never.tried()[0]));
}

TEST_P(Processes, ReceivingFromSeveral) {
    Net net({{repeat(200), send(0), end()},
             {repeat(300), send(1), end()},
             {repeat(100), send(2), end()},
             {consume({0, 1, 2}), task(), end()}},
            {2, 0, 5});
    run_net(net);
    EXPECT_EQ(net.wrong(), 0);
    std::vector<int64_t> next(3);
    for (const Net::Received &token : net.received()[3]) {
        // Each channel stays in order.
        EXPECT_EQ(token.value, next[static_cast<size_t>(token.channel)]++);
    }
    EXPECT_THAT(next, ElementsAre(200, 300, 100));
}

/// Two channels with a token each and a process that chooses. Binding 0 is its address.
struct Choice {
    std::atomic<bool> chosen = false;
    bool awaits_second = false;  ///< the choice comes when the second one's task has ended
    std::vector<int64_t> order;

    /// Ends only after the choice.
    static abi::Status until_chosen(const int64_t *slots) {
        const auto until = std::chrono::steady_clock::now() + time_limit / 2;
        while (!at_address<Choice>(slots[0]).chosen && std::chrono::steady_clock::now() < until) {
            std::this_thread::yield();
        }
        return 0;
    }
    static abi::Status at_once(const int64_t * /*slots*/) { return 0; }

    template <int Channel>
    static abi::Status send(int64_t *frame, void *graph, const int64_t *bindings, int32_t) {
        const int64_t cell = Channel;
        if (pto_wsp_may_send(graph, Channel, Channel) != 0) {
            pto_wsp_submit(graph, Channel, bindings, &cell, -1);
            pto_wsp_send(graph, Channel, nullptr, 0);
            frame[0] = -1;
        }
        return 0;
    }
    static abi::Status choose(int64_t *frame, void *graph, const int64_t *bindings, int32_t) {
        auto &choice = at_address<Choice>(bindings[0]);
        const std::array<int32_t, 2> channels{0, 1};
        const int64_t second = 1;
        std::array<int64_t, 2> token{};
        if (choice.awaits_second && pto_wsp_await(graph, 2, &second) == 0) {
            return 0;
        }
        const int32_t got = pto_wsp_receive(graph, channels.data(), 2, token.data(), 2);
        if (got > 0) {
            choice.order.push_back(token[0]);
            choice.chosen = true;
        }
        frame[0] = got < 0 ? -1 : 0;
        return 0;
    }
    static abi::Status main(int64_t *frame, void *graph, const int64_t *, int32_t) {
        frame[0] = pto_wsp_run_processes(graph, 1, 3) != 0 ? -1 : 0;
        return 0;
    }

    DynamicGraph graph() const {
        DynamicGraph graph;
        graph.processes = {main_process(&Choice::main),
                           {"a", &Choice::send<0>, 1, {0}, {}, {}},
                           {"b", &Choice::send<1>, 1, {1}, {}, {}},
                           {"c", &Choice::choose, 1, {}, {0, 1}, {}}};
        graph.sites = {
            site_of(&Choice::until_chosen, 1, {writing(0)}),
            site_of(awaits_second ? &Choice::at_once : &Choice::until_chosen, 1, {writing(0)}),
            site_of(nullptr, 0, {reading(0)})};
        graph.grids = {2};
        graph.channels.resize(2);
        for (ChannelSpec &channel : graph.channels) {
            channel.depth = 1;
        }
        return graph;
    }
};

TEST_P(Processes, AChoiceTakesWhatWasSentFirst) {
    Choice choice;
    run(executor, plan_of(choice.graph()), {address(&choice)});
    EXPECT_THAT(choice.order, ElementsAre(0, 1));
}

TEST_P(Processes, AChoicePrefersWhatIsReallyThere) {
    if (GetParam() == 1) {
        // The only worker would wait in the first task for ever.
        return;
    }
    Choice choice;
    choice.awaits_second = true;
    run(executor, plan_of(choice.graph()), {address(&choice)});
    EXPECT_THAT(choice.order, ElementsAre(1, 0));
}

TEST_P(Processes, ReplicasShareTheWork) {
    for (int64_t depth : {0, 1, 4}) {
        Net net({{repeat(1000), send(0), end()},
                 {consume({0}), send(1), end()},
                 {consume({0}), send(1), end()},
                 {consume({0}), send(1), end()},
                 {consume({0}), send(1), end()},
                 {consume({1}), task(), end()}},
                {depth, 2}, {depth + 8, 3});
        run_net(net);
        EXPECT_EQ(net.wrong(), 0);
        EXPECT_EQ(net.tasks_run(), 3000);
        size_t total = 0;
        for (int i = 1; i <= 4; i++) {
            total += net.received()[static_cast<size_t>(i)].size();
        }
        EXPECT_EQ(total, 1000U);
        EXPECT_LE(net.traffic()[0].most_in_flight, depth + 8);
    }
}

TEST_P(Processes, OneLongTokenDoesNotStopTheOtherReplicas) {
    if (GetParam() == 1) {
        return;
    }
    for (int64_t depth : {0, 2}) {
        Op slow = task();
        slow.slow_at = 3;
        Net net({{repeat(500), send(0), end()},
                 {consume({0}), slow, end()},
                 {consume({0}), slow, end()},
                 {consume({0}), slow, end()}},
                {depth}, {depth + 6});
        // Whoever has the long token may have one more behind it, and some ran before.
        net.slow_waits_for = 480;
        run_net(net);
        EXPECT_GE(net.run_meanwhile(), 480);
        EXPECT_EQ(net.wrong(), 0);
        EXPECT_EQ(net.tasks_run(), 1000);
    }
}

TEST_P(Processes, ReplicasWithTheFewestSlots) {
    Net net({{repeat(300), send(0), end()},
             {consume({0}), task(), end()},
             {consume({0}), task(), end()}},
            {0});
    run_net(net);
    EXPECT_EQ(net.wrong(), 0);
    EXPECT_EQ(net.tasks_run(), 600);
    EXPECT_LE(net.traffic()[0].most_in_flight, 1);
}

TEST_P(Processes, AFailingTaskEndsTheNet) {
    for (int64_t failing : {0, 57, 999}) {
        auto programs = pipeline(3, 1000);
        programs[2][1].fails_at =
            Net(programs, {2, 2}).simulate().received[2][static_cast<size_t>(failing)].value;
        Net net(programs, {2, 2});
        EXPECT_THAT(error_of<KernelError>(net)->text(),
                    HasSubstr("kernel k: returned status 1, expected 0"));
        EXPECT_LE(net.tasks_run(), 3000);
    }
}

TEST_P(Processes, CancellingANet) {
    auto programs = pipeline(4, 1'000'000'000);
    Net net(programs, {2, 0, 7});
    const auto execution = executor.start(plan_of(net.graph()), {address(&net)});
    while (net.tasks_run() < 1000) {
        std::this_thread::yield();
    }
    execution->cancel();
    ASSERT_TRUE(execution->wait(time_limit));
    EXPECT_THROW(execution->rethrow(), CancelledError);
}

TEST_P(Processes, CancellingReplicasWhileTheyWait) {
    Op slow = task();
    slow.slow_at = 0;
    Net net({{repeat(1'000'000), send(0), end()},
             {consume({0}), slow, end()},
             {consume({0}), slow, end()}},
            {0});
    net.slow_waits_for = 1;
    const auto execution = executor.start(plan_of(net.graph()), {address(&net)});
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    execution->cancel();
    net.slow_waits_for = 0;
    ASSERT_TRUE(execution->wait(time_limit));
    EXPECT_THROW(execution->rethrow(), CancelledError);
}

TEST_P(Processes, ManyNetsAtOnce) {
    std::vector<std::unique_ptr<Net>> nets;
    std::vector<std::shared_ptr<Execution>> executions;
    for (int i = 0; i < 20; i++) {
        nets.push_back(
            std::make_unique<Net>(pipeline(2 + i % 4, 200), std::vector<int64_t>(4, i % 3)));
        executions.push_back(
            executor.start(plan_of(nets.back()->graph(64)), {address(nets.back().get())}));
    }
    for (size_t i = 0; i < nets.size(); i++) {
        ASSERT_TRUE(executions[i]->wait(time_limit));
        executions[i]->rethrow();
        EXPECT_EQ(nets[i]->wrong(), 0);
        EXPECT_EQ(nets[i]->received(), nets[i]->simulate().received);
    }
}

}  // namespace
}  // namespace pto::wsp::runtime
