#include "pto/wsp/support/env.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <optional>

#include "pto/wsp/support/cores.h"
#include "support/expect_error.h"

namespace pto::wsp {
namespace {

/// Starts every test without the project's variables and restores them afterwards.
class Env : public testing::Test {
protected:
    void SetUp() override {
        for (const env::Variable &variable : env::variables()) {
            const char *value = std::getenv(variable.name);
            before_[variable.name] = value ? std::optional<std::string>(value) : std::nullopt;
            unsetenv(variable.name);
        }
    }
    void TearDown() override {
        for (const auto &[name, value] : before_) {
            value ? setenv(name.c_str(), value->c_str(), 1) : unsetenv(name.c_str());
        }
    }

private:
    std::map<std::string, std::optional<std::string>> before_;
};

TEST_F(Env, CacheDirectory) {
    setenv("HOME", "/home/ada", 1);
    EXPECT_EQ(env::cache_dir(), "/home/ada/.cache/pto_wsp");
    setenv("XDG_CACHE_HOME", "relative", 1);
    EXPECT_EQ(env::cache_dir(), "/home/ada/.cache/pto_wsp");
    setenv("XDG_CACHE_HOME", "/var/cache", 1);
    EXPECT_EQ(env::cache_dir(), "/var/cache/pto_wsp");
    setenv("PTO_WSP_CACHE_DIR", "", 1);
    EXPECT_EQ(env::cache_dir(), "/var/cache/pto_wsp");
    setenv("PTO_WSP_CACHE_DIR", "here", 1);
    EXPECT_EQ(env::cache_dir(), "here");
}

TEST_F(Env, CacheDirectoryWithoutHomeVariable) {
    try {
        EXPECT_TRUE(env::cache_dir().ends_with("/.cache/pto_wsp"));
    } catch (const ExecutionError &e) {
        EXPECT_EQ(e.text(), "no directory for the cache: this user has no home directory");
    }
}

TEST_F(Env, CacheBytes) {
    EXPECT_EQ(env::cache_bytes(), int64_t(1) << 30);
    setenv("PTO_WSP_CACHE_BYTES", "0", 1);
    EXPECT_EQ(env::cache_bytes(), 0);
    setenv("PTO_WSP_CACHE_BYTES", "3M", 1);
    EXPECT_EQ(env::cache_bytes(), 3 * 1024 * 1024);
    for (const char *bad : {"-1", "1.5G", "G", "12 ", "9223372036854775808", "9007199254740993K"}) {
        setenv("PTO_WSP_CACHE_BYTES", bad, 1);
        expect_error<ExecutionError>(
            [] { env::cache_bytes(); },
            std::string("PTO_WSP_CACHE_BYTES: expected a number of bytes below 2^63, found \"") +
                bad + "\"");
    }
}

TEST_F(Env, Workers) {
    EXPECT_EQ(env::workers(), std::min(usable_cores(), 1024));
    setenv("PTO_WSP_WORKERS", "1024", 1);
    EXPECT_EQ(env::workers(), 1024);
    for (const char *bad : {"0", "1025", "two", "-3", "99999999999999999999"}) {
        setenv("PTO_WSP_WORKERS", bad, 1);
        std::string hint = expect_error<ExecutionError>(
            [] { env::workers(); },
            std::string("PTO_WSP_WORKERS: expected a number of workers in 1...1024, found \"") +
                bad + "\"");
        EXPECT_TRUE(hint.starts_with("unset it to use the ")) << hint;
    }
}

TEST_F(Env, TargetAndLogLevel) {
    EXPECT_EQ(env::target(), "");
    setenv("PTO_WSP_TARGET", "x86-64-linux-avx2", 1);
    EXPECT_EQ(env::target(), "x86-64-linux-avx2");
    EXPECT_EQ(env::log_level(), "warning");
    setenv("PTO_WSP_LOG", "debug", 1);
    EXPECT_EQ(env::log_level(), "debug");
    setenv("PTO_WSP_LOG", "loud", 1);
    expect_error<ExecutionError>(
        [] { env::log_level(); },
        "PTO_WSP_LOG: expected one of error, warning, info, debug, found \"loud\"");
}

}  // namespace
}  // namespace pto::wsp
