#include "pto/wsp/support/log.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace pto::wsp {
namespace {

TEST(Log, SinkReceivesEveryLevel) {
    std::vector<std::pair<LogLevel, std::string>> received;
    set_log_sink(
        [&](LogLevel level, const std::string &text) { received.emplace_back(level, text); });
    log(LogLevel::Debug, "a");
    log(LogLevel::Error, "b");
    set_log_sink(nullptr);
    std::vector<std::pair<LogLevel, std::string>> expected = {{LogLevel::Debug, "a"},
                                                              {LogLevel::Error, "b"}};
    EXPECT_EQ(received, expected);
}

TEST(Log, DefaultPrintsWarningsAndErrors) {
    set_log_sink(nullptr);
    testing::internal::CaptureStderr();
    log(LogLevel::Debug, "quiet");
    log(LogLevel::Info, "quiet");
    log(LogLevel::Warning, "the step was ignored");
    log(LogLevel::Error, "failed");
    EXPECT_EQ(testing::internal::GetCapturedStderr(),
              "pto_wsp: warning: the step was ignored\npto_wsp: error: failed\n");
}

TEST(Log, SinkMayLogAndBeReplacedMeanwhile) {
    std::atomic<int> received = 0;
    LogSink sink = [&](LogLevel level, const std::string &) {
        ++received;
        if (level == LogLevel::Info) {
            log(LogLevel::Debug, "nested");
        }
    };
    set_log_sink(sink);
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&] {
            for (int n = 0; n < 100; ++n) {
                set_log_sink(sink);
                log(LogLevel::Info, "x");
            }
        });
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
    set_log_sink(nullptr);
    EXPECT_EQ(received, 800);
}

}  // namespace
}  // namespace pto::wsp
