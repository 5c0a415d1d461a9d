#include <array>
#include <random>
#include <thread>

#include <gmock/gmock.h>

#include "pto/wsp/runtime/signal.h"
#include "runtime/graphs.h"

namespace pto::wsp::runtime::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

/// A statement of a process.
struct Statement {
    enum class Kind { Submit, Meet, Net };
    Kind kind = Kind::Submit;
    int32_t site = 0;
    int64_t slot = 0;
};

/// Processes that are lists of statements: the workload itself, then the others, which it starts by
/// `Net`. Binding 0 is its address.
struct Scripts {
    std::vector<std::vector<Statement>> of;

    template <int Number>
    static abi::Status expand(int64_t *frame, void *graph, const int64_t *bindings,
                              int32_t budget) {
        const auto &all = at_address<const Scripts>(bindings[0]).of;
        const std::vector<Statement> &mine = all[Number];
        for (; budget > 0 && frame[0] < static_cast<int64_t>(mine.size()); budget--) {
            const Statement &next = mine[static_cast<size_t>(frame[0])];
            if (next.kind == Statement::Kind::Submit) {
                const int64_t cell = 0;
                pto_wsp_submit(graph, next.site, &next.slot, &cell, -1);
            } else if (next.kind == Statement::Kind::Meet
                           ? pto_wsp_meet(graph, next.site) == 0
                           : pto_wsp_run_processes(graph, 1,
                                                   static_cast<int32_t>(all.size()) - 1) == 0) {
                return 0;
            }
            frame[0]++;
        }
        frame[0] = frame[0] == static_cast<int64_t>(mine.size()) ? -1 : frame[0];
        return 0;
    }
};

/// What tasks do to see in which order they run.
struct Ledger {
    std::array<std::atomic<int64_t>, 4> done = {};
    std::atomic<int64_t> wrong = 0;
};

struct Entry {
    Ledger *ledger = nullptr;
    int counts = 0;      ///< in `done`
    int looks_at = -1;   ///< in `done`
    int64_t least = 0;   ///< that is there
    int64_t turns = 0;   ///< of an idle loop
    int64_t status = 0;  ///< that it ends with
    static abi::Status run(const int64_t *slots) {
        const auto &entry = at_address<const Entry>(slots[0]);
        Ledger &ledger = *entry.ledger;
        if (entry.looks_at >= 0 &&
            ledger.done[static_cast<size_t>(entry.looks_at)].load() < entry.least) {
            ledger.wrong++;
        }
        std::atomic<int64_t> idle = 0;
        while (idle.fetch_add(1, std::memory_order_relaxed) < entry.turns) {
        }
        ledger.done[static_cast<size_t>(entry.counts)]++;
        return static_cast<abi::Status>(entry.status);
    }
};

/// A graph of such processes that is made statement by statement.
class Maker {
public:
    explicit Maker(int processes) {
        scripts.of.resize(static_cast<size_t>(processes));
        const std::array<abi::ExpandFn, 4> expand{&Scripts::expand<0>, &Scripts::expand<1>,
                                                  &Scripts::expand<2>, &Scripts::expand<3>};
        for (int p = 0; p < processes; p++) {
            graph.processes.push_back(
                {p == 0 ? "main" : std::string(1, static_cast<char>('a' + p - 1)),
                 expand[static_cast<size_t>(p)],
                 1,
                 {},
                 {},
                 {}});
            // A task of each process, gathered by the process's own number where it records.
            graph.sites.push_back(site_of(&Entry::run, 1, {}));
            graph.sites.back().process = p;
        }
        graph.window = 64;
        if (processes > 1) {
            scripts.of[0].push_back({Statement::Kind::Net});
        }
    }

    void task(int process, Entry entry) {
        entry.ledger = &ledger;
        entries.push_back(std::make_unique<Entry>(entry));
        of(process).push_back({Statement::Kind::Submit, process, address(entries.back().get())});
    }
    void record(int process, const std::shared_ptr<Signal> &signal, Signal::Timeout timeout = {}) {
        const bool meets = signal->depth() == 0;
        const int site = event(process, signal, Signal::Side::Record, timeout);
        if (!meets) {
            graph.sites[static_cast<size_t>(site)].gathered_by = {process};
        }
        of(process).push_back({meets ? Statement::Kind::Meet : Statement::Kind::Submit, site});
    }
    void synchronize(int process, const std::shared_ptr<Signal> &signal,
                     Signal::Timeout timeout = {}) {
        const int site = event(process, signal, Signal::Side::Synchronize, timeout);
        of(process).push_back({Statement::Kind::Meet, site});
    }
    std::vector<Statement> &of(int process) { return scripts.of[static_cast<size_t>(process)]; }

    std::shared_ptr<Execution> start(Executor &executor) const {
        return executor.start(plan_of(graph), {address(&scripts)});
    }
    void run(Executor &executor) const {
        testing::run(executor, plan_of(graph), {address(&scripts)});
    }

    DynamicGraph graph;
    Scripts scripts;
    Ledger ledger;
    std::vector<std::unique_ptr<Entry>> entries;

private:
    /// One place for each event, side and process.
    int event(int process, const std::shared_ptr<Signal> &signal, Signal::Side side,
              Signal::Timeout timeout) {
        for (size_t i = 0; i < graph.sites.size(); i++) {
            const TaskSite &site = graph.sites[i];
            if (site.event >= 0 && site.process == process) {
                const EventSite &known = graph.events[static_cast<size_t>(site.event)];
                if (known.signal == signal && known.side == side) {
                    return static_cast<int>(i);
                }
            }
        }
        if (side == Signal::Side::Record) {
            graph.sites[static_cast<size_t>(process)].gathered_by = {process};
        }
        TaskSite site;
        site.name = side == Signal::Side::Record ? "record" : "synchronize";
        site.process = process;
        site.at = {"user.py", 10 + static_cast<int>(graph.sites.size())};
        site.event = static_cast<int>(graph.events.size());
        graph.events.push_back(
            {signal, side, side == Signal::Side::Record ? process : -1, timeout});
        graph.sites.push_back(std::move(site));
        return static_cast<int>(graph.sites.size()) - 1;
    }
};

std::shared_ptr<Signal> signal_of(std::string name, int64_t depth = 1) {
    return std::make_shared<Signal>(std::move(name), depth);
}

/// The run must end within a minute; what it throws.
template <typename Error> Error error_of(Execution &run) {
    EXPECT_TRUE(run.wait(time_limit)) << "the run does not end";
    try {
        run.rethrow();
    } catch (const Error &error) {
        return error;
    }
    ADD_FAILURE() << "nothing is thrown";
    return Error({}, "");
}

class EventRuns : public ::testing::TestWithParam<int> {
protected:
    Executor executor{GetParam()};
};

TEST_P(EventRuns, ARecordComesAfterTheTasksBefore) {
    for (int round = 0; round < 20; round++) {
        const auto event = signal_of("e");
        Maker made(1);
        for (int i = 0; i < 200; i++) {
            made.task(0, {.counts = 0, .turns = i % 7 == 0 ? 20000 : 0});
        }
        made.record(0, event);
        for (int i = 0; i < 200; i++) {
            made.task(0, {.counts = 1});
        }
        const std::shared_ptr<Execution> run = made.start(executor);
        ASSERT_TRUE(event->synchronize(time_limit));
        EXPECT_EQ(made.ledger.done[0], 200);
        ASSERT_TRUE(run->wait(time_limit));
        run->rethrow();
        EXPECT_EQ(made.ledger.done[1], 200) << "a record holds up nothing";
        EXPECT_EQ(run->stats().tasks, 400);
    }
}

TEST_P(EventRuns, WhatFollowsASynchronizeWaits) {
    for (int64_t depth : {1, 0}) {
        const auto event = signal_of("go", depth);
        const std::shared_ptr<void> held = Signal::hold(event);
        Maker made(1);
        made.task(0, {.counts = 0});
        made.synchronize(0, event);
        made.task(0, {.counts = 1});
        const std::shared_ptr<Execution> run = made.start(executor);
        EXPECT_FALSE(run->wait(20ms));
        EXPECT_EQ(made.ledger.done[0], 1);
        EXPECT_EQ(made.ledger.done[1], 0);
        EXPECT_TRUE(event->record(time_limit));
        ASSERT_TRUE(run->wait(time_limit));
        run->rethrow();
        EXPECT_EQ(made.ledger.done[1], 1);
    }
}

/// No worker is held: with one worker another run goes through meanwhile.
TEST_P(EventRuns, AWaitHoldsNoWorker) {
    const auto event = signal_of("go");
    const std::shared_ptr<void> held = Signal::hold(event);
    std::vector<std::unique_ptr<Maker>> makers;
    std::vector<std::shared_ptr<Execution>> runs;
    for (int i = 0; i < 12; i++) {
        makers.push_back(std::make_unique<Maker>(1));
        makers.back()->synchronize(0, event);
        makers.back()->task(0, {.counts = 0});
        runs.push_back(makers.back()->start(executor));
    }
    Maker other(1);
    other.task(0, {.counts = 0});
    other.run(executor);
    EXPECT_EQ(other.ledger.done[0], 1);
    event->record({});
    for (const std::shared_ptr<Execution> &run : runs) {
        ASSERT_TRUE(run->wait(time_limit));
        run->rethrow();
    }
}

TEST_P(EventRuns, AnEventIsRecordedAnewInEachRound) {
    const auto event = signal_of("step");
    Maker made(1);
    for (int i = 0; i < 300; i++) {
        for (int k = 0; k < 3; k++) {
            made.task(0,
                      {.counts = 0, .looks_at = 0, .least = 3 * i, .turns = i % 5 == 0 ? 5000 : 0});
        }
        made.record(0, event);
        made.synchronize(0, event);
    }
    made.run(executor);
    EXPECT_EQ(made.ledger.done[0], 900);
    EXPECT_EQ(made.ledger.wrong, 0);
}

/// Each stage of the ring sees what the one before did, round after round.
TEST_P(EventRuns, ProcessesMeet) {
    constexpr int rounds = 200;
    const std::array<std::shared_ptr<Signal>, 3> events{signal_of("ab", 0), signal_of("bc", 0),
                                                        signal_of("ca", 0)};
    Maker made(4);
    for (int i = 0; i < rounds; i++) {
        for (int p = 1; p <= 3; p++) {
            const auto mine = static_cast<size_t>(p - 1);
            if (p > 1 || i > 0) {
                made.synchronize(p, events[(mine + 2) % 3]);
            }
            made.task(p, {.counts = p,
                          .looks_at = p > 1 ? p - 1 : 3,
                          .least = p > 1 ? i + 1 : i,
                          .turns = (i + p) % 5 == 0 ? 3000 : 0});
            if (p < 3 || i + 1 < rounds) {
                made.record(p, events[mine]);
            }
        }
    }
    made.run(executor);
    for (size_t p = 1; p <= 3; p++) {
        EXPECT_EQ(made.ledger.done[p], rounds);
    }
    EXPECT_EQ(made.ledger.wrong, 0);
}

/// A thread is one of the sides, in turns with the run.
TEST_P(EventRuns, AThreadAndARunMeet) {
    constexpr int rounds = 300;
    const auto to = signal_of("to", 0);
    const auto fro = signal_of("fro", 0);
    const std::shared_ptr<void> held[] = {Signal::hold(to), Signal::hold(fro)};
    Maker made(1);
    for (int i = 0; i < rounds; i++) {
        made.synchronize(0, to);
        made.task(0, {.counts = 0});
        made.record(0, fro);
    }
    const std::shared_ptr<Execution> run = made.start(executor);
    for (int i = 0; i < rounds; i++) {
        EXPECT_EQ(made.ledger.done[0], i);
        ASSERT_TRUE(to->record(time_limit));
        ASSERT_TRUE(fro->synchronize(time_limit));
        EXPECT_EQ(made.ledger.done[0], i + 1);
    }
    ASSERT_TRUE(run->wait(time_limit));
    run->rethrow();
}

TEST_P(EventRuns, AFailedTaskIsOverToo) {
    const auto event = signal_of("e");
    Maker made(1);
    made.task(0, {.counts = 0, .status = 3});
    made.record(0, event);
    made.synchronize(0, event);
    made.task(0, {.counts = 1});
    const std::shared_ptr<Execution> run = made.start(executor);
    EXPECT_TRUE(event->synchronize(time_limit));
    error_of<KernelError>(*run);
    EXPECT_EQ(made.ledger.done[1], 1);
}

TEST_P(EventRuns, NobodyWaitsForARunThatIsGone) {
    const auto go = signal_of("go");
    const std::shared_ptr<void> held = Signal::hold(go);
    const auto never = signal_of("never");
    Maker made(1);
    made.synchronize(0, go);
    made.task(0, {.counts = 0});
    made.record(0, never);
    never->record({});
    const std::shared_ptr<Execution> run = made.start(executor);
    EXPECT_FALSE(never->query()) << "it is to be recorded by the run";
    EXPECT_FALSE(never->synchronize(10ms));
    run->cancel();
    EXPECT_TRUE(never->synchronize(time_limit));
    const auto error = error_of<CancelledError>(*run);
    ASSERT_EQ(error.notes().size(), 1U);
    EXPECT_EQ(error.notes()[0].text, "the workload waits for event 'go'");
    EXPECT_EQ(error.notes()[0].at.line, 11);
}

TEST_P(EventRuns, WhatNobodyCanRecordIsADeadlock) {
    Maker alone(1);
    alone.task(0, {.counts = 0});
    alone.synchronize(0, signal_of("go"));
    auto error = error_of<ChannelError>(*alone.start(executor));
    EXPECT_EQ(error.text(), "deadlock: the workload waits for event 'go', which nobody can record "
                            "any more");
    EXPECT_EQ(error.at().line, 11);
    EXPECT_EQ(alone.ledger.done[0], 1);

    for (int64_t depth : {1, 0}) {
        const auto x = signal_of("x", depth);
        const auto y = signal_of("y", depth);
        Maker made(3);
        made.synchronize(1, x);
        made.record(1, y);
        made.synchronize(2, y);
        made.record(2, x);
        error = error_of<ChannelError>(*made.start(executor));
        EXPECT_EQ(error.text(), "deadlock: process a waits for event 'x' <- process b waits for "
                                "event 'y' <- process a");
    }
    Maker offers(2);
    offers.record(1, signal_of("meeting", 0));
    error = error_of<ChannelError>(*offers.start(executor));
    EXPECT_EQ(error.text(), "deadlock: process a waits until somebody synchronizes with event "
                            "'meeting', which nobody can come to any more");
}

TEST_P(EventRuns, RunsHelpEachOtherAsLongAsTheyCan) {
    const auto x = signal_of("x");
    const auto y = signal_of("y");
    Maker first(1);
    first.synchronize(0, x);
    first.task(0, {.counts = 0});
    first.record(0, y);
    Maker second(1);
    for (int i = 0; i < 50; i++) {
        second.task(0, {.counts = 0, .turns = 20000});
    }
    second.record(0, x);
    second.synchronize(0, y);
    second.task(0, {.counts = 1});
    std::shared_ptr<void> held = Signal::hold(y);
    const std::shared_ptr<Execution> late = second.start(executor);
    const std::shared_ptr<Execution> early = first.start(executor);
    held.reset();
    for (const auto &run : {early, late}) {
        ASSERT_TRUE(run->wait(time_limit));
        run->rethrow();
    }

    // Each waits for the other: whoever notices last ends, and then the other has no help.
    for (int round = 0; round < 20; round++) {
        const auto u = signal_of("u");
        const auto v = signal_of("v");
        Maker one(1);
        one.synchronize(0, u);
        one.record(0, v);
        Maker two(1);
        two.synchronize(0, v);
        two.record(0, u);
        held = Signal::hold(u);
        const std::shared_ptr<Execution> a = one.start(executor);
        const std::shared_ptr<Execution> b = two.start(executor);
        held.reset();
        ASSERT_TRUE(a->wait(time_limit));
        ASSERT_TRUE(b->wait(time_limit));
        // A run that ends records what it should have: so the other one may come to its end.
        EXPECT_GE(a->failure_count() + b->failure_count(), 1);
        for (const auto &run : {a, b}) {
            for (const Failure &failure : run->failures()) {
                EXPECT_THAT(failure.what.text,
                            HasSubstr("deadlock: the workload waits for event '"));
            }
        }
    }
}

TEST_P(EventRuns, AHandleThatGoesAwayIsNoHope) {
    const auto event = signal_of("go");
    std::shared_ptr<void> held = Signal::hold(event);
    Maker made(1);
    made.synchronize(0, event);
    const std::shared_ptr<Execution> run = made.start(executor);
    EXPECT_FALSE(run->wait(10ms));
    held.reset();
    EXPECT_THAT(error_of<ChannelError>(*run).text(), HasSubstr("deadlock: "));
}

TEST_P(EventRuns, AThreadThatIsAloneSaysSo) {
    const auto event = signal_of("go");
    const std::shared_ptr<void> held = Signal::hold(event);
    Maker made(1);
    made.synchronize(0, event);
    const std::shared_ptr<Execution> run = made.start(executor);
    const auto until = std::chrono::steady_clock::now() + time_limit;
    while (!run->wait(1ms) && std::chrono::steady_clock::now() < until) {
        run->forsake();
    }
    EXPECT_THAT(error_of<ChannelError>(*run).text(), HasSubstr("deadlock: "));
}

TEST_P(EventRuns, ATimeoutEndsTheRun) {
    for (int64_t depth : {1, 0}) {
        const auto event = signal_of("go", depth);
        const std::shared_ptr<void> held = Signal::hold(event);
        Maker made(1);
        made.synchronize(0, event, 10ms);
        made.task(0, {.counts = 0});
        const auto error = error_of<EventTimeoutError>(*made.start(executor));
        EXPECT_EQ(error.text(), "synchronize: event 'go' was not recorded within 0.01 s");
        EXPECT_EQ(error.at().line, 11);
        EXPECT_EQ(made.ledger.done[0], 0);
    }
    const auto meeting = signal_of("meeting", 0);
    Maker made(1);
    made.record(0, meeting, 10ms);
    EXPECT_EQ(error_of<EventTimeoutError>(*made.start(executor)).text(),
              "record: event 'meeting' was not taken within 0.01 s");
    EXPECT_FALSE(meeting->query()) << "it is offered no more";
    // In time: nothing fails.
    const auto early = signal_of("early");
    early->record({});
    Maker in_time(1);
    in_time.synchronize(0, early, 0ms);
    in_time.run(executor);
}

INSTANTIATE_TEST_SUITE_P(Workers, EventRuns, ::testing::Values(1, 2, 4, 8),
                         [](const auto &info) { return std::to_string(info.param) + "w"; });

}  // namespace
}  // namespace pto::wsp::runtime::testing
