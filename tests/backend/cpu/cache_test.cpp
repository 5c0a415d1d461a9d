#include "pto/wsp/backend/cpu/cache.h"

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backend/cpu/pipelines.h"
#include "pto/wsp/backend/cpu/engine_build.h"
#include "pto/wsp/support/error.h"
#include "pto/wsp/support/log.h"

namespace pto::wsp::backend::cpu {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class TemporaryDirectory {
public:
    TemporaryDirectory() {
        std::string name = (fs::temp_directory_path() / "pto_wsp_cache_XXXXXX").string();
        path_ = mkdtemp(name.data());
    }
    ~TemporaryDirectory() { fs::remove_all(path_); }
    const fs::path &path() const { return path_; }

private:
    fs::path path_;
};

class CapturedLog {
public:
    CapturedLog() {
        set_log_sink([this](LogLevel level, const std::string &text) {
            if (level >= LogLevel::Warning) {
                texts.push_back(text);
            }
        });
    }
    ~CapturedLog() { set_log_sink(nullptr); }
    std::vector<std::string> texts;
};

constexpr int64_t large = 1 << 30;
const Hash128 key_a = {0x0123456789abcdef, 1};
const Hash128 key_b = {0x0123456789abcdef, 2};
const Hash128 key_c = {0x0123456789abcdef, 3};

std::string never() {
    throw std::logic_error("generated although the object is stored");
}

std::string file_text(const fs::path &path) {
    std::ostringstream text;
    text << std::ifstream(path, std::ios::binary).rdbuf();
    return text.str();
}

void set_file_text(const fs::path &path, const std::string &text) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
}

std::vector<std::string> file_names(const fs::path &directory) {
    std::vector<std::string> names;
    for (const auto &file : fs::directory_iterator(directory)) {
        names.push_back(file.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
}

fs::path entry_of(const TemporaryDirectory &directory, const Hash128 &key) {
    return directory.path() / "v1" / (key.hex() + ".o");
}

TEST(ObjectCache, StoresWhatWasGenerated) {
    const TemporaryDirectory directory;
    ObjectCache first(directory.path().string(), large);
    EXPECT_EQ(first.directory(), directory.path().string());
    EXPECT_EQ(first.get(key_a, [] { return "object a"; }), "object a");
    EXPECT_EQ(first.get(key_a, never), "object a");
    EXPECT_EQ(first.stats().hits, 1);
    EXPECT_EQ(first.stats().misses, 1);

    ObjectCache second(directory.path().string(), large);
    EXPECT_EQ(second.get(key_a, never), "object a");
    EXPECT_EQ(second.stats().hits, 1);
    EXPECT_EQ(second.stats().misses, 0);
    EXPECT_THAT(file_names(directory.path() / "v1"), ElementsAre(key_a.hex() + ".o"));
}

/// What is said of `key_a`, and its object made anew.
std::string reason_of_rebuilding(const TemporaryDirectory &directory) {
    ObjectCache cache(directory.path().string(), large);
    EXPECT_EQ(cache.get(key_a, [] { return "object a"; }), "object a");
    EXPECT_EQ(cache.stats().misses, 1);
    return cache.stats().reasons.at(0).text;
}

TEST(ObjectCache, ReadsNothingButRegularFilesOfASaneSize) {
    const TemporaryDirectory directory;
    const fs::path entry = entry_of(directory, key_a);
    fs::create_directory(entry.parent_path());
    fs::permissions(entry.parent_path(), fs::perms::owner_all);

    ASSERT_EQ(mkfifo(entry.c_str(), 0600), 0);
    EXPECT_EQ(reason_of_rebuilding(directory),
              "corrupt entry " + entry.string() + ": it is no regular file");

    ASSERT_EQ(truncate(entry.c_str(), off_t{8} << 40), 0);
    EXPECT_EQ(reason_of_rebuilding(directory),
              "corrupt entry " + entry.string() + ": 8796093022208 bytes, more than 1073741824");

    fs::rename(entry, directory.path() / "elsewhere");
    fs::create_symlink(directory.path() / "elsewhere", entry);
    EXPECT_THAT(reason_of_rebuilding(directory), HasSubstr("cannot read " + entry.string()));
    EXPECT_TRUE(fs::is_regular_file(fs::symlink_status(entry)));
}

TEST(ObjectCache, TrustsOnlyWhatOthersCannotWrite) {
    const TemporaryDirectory directory;
    const fs::path entry = entry_of(directory, key_a);
    ObjectCache(directory.path().string(), large).get(key_a, [] { return "object a"; });

    fs::permissions(entry, fs::perms::owner_read | fs::perms::group_write);
    EXPECT_EQ(reason_of_rebuilding(directory),
              "corrupt entry " + entry.string() + ": others may write it: its mode is 420");

    const CapturedLog log;
    fs::permissions(entry.parent_path(), fs::perms::all);
    const std::string why =
        entry.parent_path().string() + " is not trusted: others may write it: its mode is 777";
    EXPECT_EQ(reason_of_rebuilding(directory), why);
    EXPECT_THAT(log.texts, ElementsAre(HasSubstr(why)));
    fs::permissions(entry.parent_path(), fs::perms::owner_all);
    EXPECT_EQ(ObjectCache(directory.path().string(), large).get(key_a, never), "object a");

    fs::rename(entry.parent_path(), directory.path() / "elsewhere");
    fs::create_symlink(directory.path() / "elsewhere", entry.parent_path());
    EXPECT_EQ(reason_of_rebuilding(directory),
              entry.parent_path().string() + " is not trusted: it is no directory");
}

TEST(ObjectCache, TrustsNothingOfOtherUsers) {
    const TemporaryDirectory directory;
    const fs::path entry = entry_of(directory, key_a);
    ObjectCache(directory.path().string(), large).get(key_a, [] { return "object a"; });
    if (chown(entry.c_str(), 12345, static_cast<gid_t>(-1)) != 0) {
        GTEST_SKIP() << "only the superuser can give files away";
    }
    EXPECT_EQ(reason_of_rebuilding(directory),
              "corrupt entry " + entry.string() + ": it belongs to user 12345");
}

TEST(ObjectCache, SaysWhyItMissed) {
    const TemporaryDirectory directory;
    ObjectCache cache(directory.path().string(), large);
    cache.get(key_a, [] { return "object a"; });
    const CacheStats stats = cache.stats();
    ASSERT_EQ(stats.reasons.size(), 1u);
    EXPECT_FALSE(stats.reasons[0].happened);
    EXPECT_EQ(stats.reasons[0].subject, "cached object of " + key_a.hex());
    EXPECT_EQ(stats.reasons[0].text, "no entry " + entry_of(directory, key_a).string());
}

TEST(ObjectCache, KeepsTheNewestReasons) {
    const TemporaryDirectory directory;
    ObjectCache cache(directory.path().string(), large);
    for (uint64_t i = 0; i < 1030; ++i) {
        cache.get({7, i}, [] { return "x"; });
    }
    EXPECT_EQ(cache.stats().reasons.size(), 1024u);
    EXPECT_THAT(cache.stats().reasons.back().text, HasSubstr(Hash128{7, 1029}.hex()));
}

TEST(ObjectCache, MakesParentDirectories) {
    const TemporaryDirectory directory;
    const CapturedLog log;
    ObjectCache cache((directory.path() / "not" / "there" / "yet").string(), large);
    cache.get(key_a, [] { return "object a"; });
    EXPECT_EQ(cache.get(key_a, never), "object a");
    EXPECT_TRUE(log.texts.empty());
}

TEST(ObjectCache, StoresNothingWhenGenerationFails) {
    const TemporaryDirectory directory;
    ObjectCache cache(directory.path().string(), large);
    const auto fails = []() -> std::string { throw std::runtime_error("no compiler today"); };
    EXPECT_THROW(cache.get(key_a, fails), std::runtime_error);
    EXPECT_FALSE(fs::exists(directory.path() / "v1"));
    EXPECT_EQ(cache.get(key_a, [] { return "object a"; }), "object a");
}

RC_GTEST_PROP(ObjectCache, RebuildsAnyDamagedEntry, ()) {
    const TemporaryDirectory directory;
    const std::string object = *rc::gen::container<std::string>(rc::gen::arbitrary<char>());
    ObjectCache(directory.path().string(), large).get(key_a, [&] { return object; });
    const fs::path entry = entry_of(directory, key_a);
    std::string bytes = file_text(entry);
    const auto at = *rc::gen::inRange<size_t>(0, bytes.size());
    switch (*rc::gen::inRange(0, 3)) {
    case 0:
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << *rc::gen::inRange(0, 8)));
        break;
    case 1:
        bytes.resize(at);
        break;
    default:
        bytes += *rc::gen::nonEmpty(rc::gen::container<std::string>(rc::gen::arbitrary<char>()));
    }
    set_file_text(entry, bytes);

    ObjectCache cache(directory.path().string(), large);
    RC_ASSERT(cache.get(key_a, [&] { return object; }) == object);
    RC_ASSERT(cache.stats().misses == 1);
    RC_ASSERT(cache.stats().rebuilt == 1);
    RC_ASSERT(cache.stats().reasons.at(0).text.find("corrupt entry " + entry.string()) == 0);
    RC_ASSERT(ObjectCache(directory.path().string(), large).get(key_a, never) == object);
}

TEST(ObjectCache, NamesTheDamage) {
    const TemporaryDirectory directory;
    ObjectCache cache(directory.path().string(), large);
    cache.get(key_a, [] { return "object a"; });
    const std::string whole = file_text(entry_of(directory, key_a));
    const auto reason_for = [&](const std::string &bytes) {
        set_file_text(entry_of(directory, key_a), bytes);
        cache.get(key_a, [] { return "object a"; });
        return cache.stats().reasons.back().text;
    };
    EXPECT_THAT(reason_for(""), HasSubstr(": 0 bytes, fewer than the 56 of a header"));
    EXPECT_THAT(reason_for(whole.substr(0, 60)), HasSubstr(": object of 4 bytes, expected 8"));
    EXPECT_THAT(reason_for("X" + whole.substr(1)),
                HasSubstr(": not an object entry of this version"));
    EXPECT_THAT(reason_for(whole.substr(0, 56) + "object b"),
                HasSubstr("hash " + content_hash("object b").hex() + ", expected " +
                          content_hash("object a").hex()));
    EXPECT_EQ(cache.stats().rebuilt, 4);
}

TEST(ObjectCache, NoticesAnEntryOfAnotherKey) {
    const TemporaryDirectory directory;
    ObjectCache cache(directory.path().string(), large);
    cache.get(key_a, [] { return "object a"; });
    fs::copy(entry_of(directory, key_a), entry_of(directory, key_b));
    EXPECT_EQ(cache.get(key_b, [] { return "object b"; }), "object b");
    EXPECT_THAT(cache.stats().reasons.back().text, HasSubstr("made for key " + key_a.hex()));
}

TEST(ObjectCache, WorksWithoutADirectoryAndWarnsOnce) {
    const TemporaryDirectory directory;
    set_file_text(directory.path() / "file", "");
    const CapturedLog log;
    ObjectCache cache((directory.path() / "file" / "cache").string(), large);
    int generated = 0;
    for (int i = 0; i < 3; ++i) {
        EXPECT_EQ(cache.get(key_a, [&] { return ++generated, "object a"; }), "object a");
    }
    EXPECT_EQ(generated, 3);
    ASSERT_EQ(log.texts.size(), 1u);
    EXPECT_THAT(log.texts[0],
                AllOf(HasSubstr("object cache cannot be written, every process compiles anew: "),
                      HasSubstr(cache.directory()), HasSubstr("Not a directory")));
    const Reasons reasons = cache.stats().reasons;
    ASSERT_EQ(reasons.size(), 6u);
    EXPECT_THAT(reasons[1].text, HasSubstr("not stored: " + cache.directory()));
}

TEST(ObjectCache, WorksWithoutAName) {
    const CapturedLog log;
    ObjectCache cache("", large);
    EXPECT_EQ(cache.get(key_a, [] { return "object a"; }), "object a");
    EXPECT_FALSE(fs::exists("v1"));
    ASSERT_EQ(log.texts.size(), 1u);
    EXPECT_THAT(log.texts[0], HasSubstr("no directory is set"));
}

/// While it lives no file of this process can grow past `bytes`, as on a full disk.
class FullDisk {
public:
    explicit FullDisk(rlim_t bytes) {
        getrlimit(RLIMIT_FSIZE, &before_);
        handler_ = std::signal(SIGXFSZ, SIG_IGN);
        const rlimit limit = {bytes, before_.rlim_max};
        setrlimit(RLIMIT_FSIZE, &limit);
    }
    ~FullDisk() {
        setrlimit(RLIMIT_FSIZE, &before_);
        std::signal(SIGXFSZ, handler_);
    }

private:
    rlimit before_;
    void (*handler_)(int);
};

TEST(ObjectCache, WorksOnAFullDiskAndLeavesNothingBehind) {
    const TemporaryDirectory directory;
    const CapturedLog log;
    ObjectCache cache(directory.path().string(), large);
    std::string object;
    {
        const FullDisk full(70);
        object = cache.get(key_a, [] { return std::string(1000, 'a'); });
    }
    EXPECT_EQ(object, std::string(1000, 'a'));
    EXPECT_TRUE(file_names(directory.path() / "v1").empty());
    ASSERT_EQ(log.texts.size(), 1u);
    EXPECT_THAT(log.texts[0], HasSubstr("File too large"));
    cache.get(key_a, [] { return std::string(1000, 'a'); });
    EXPECT_EQ(cache.get(key_a, never), std::string(1000, 'a'));
}

TEST(ObjectCache, EvictsTheLeastRecentlyUsed) {
    const TemporaryDirectory directory;
    const std::string object(1000, 'x');
    {
        ObjectCache cache(directory.path().string(), large);
        cache.get(key_a, [&] { return object; });
        cache.get(key_b, [&] { return object; });
    }
    const auto now = fs::file_time_type::clock::now();
    fs::last_write_time(entry_of(directory, key_a), now - 3h);
    fs::last_write_time(entry_of(directory, key_b), now - 2h);

    ObjectCache cache(directory.path().string(), 2500);
    EXPECT_EQ(cache.get(key_a, never), object);
    cache.get(key_c, [&] { return object; });
    EXPECT_EQ(cache.stats().evicted, 1);
    EXPECT_EQ(cache.get(key_a, never), object);
    EXPECT_EQ(cache.get(key_c, never), object);
    EXPECT_FALSE(fs::exists(entry_of(directory, key_b)));
}

TEST(ObjectCache, StaysBelowItsBound) {
    const TemporaryDirectory directory;
    constexpr int64_t bound = 20000;
    ObjectCache cache(directory.path().string(), bound);
    for (uint64_t i = 0; i < 200; ++i) {
        cache.get({3, i}, [&] { return std::string(100 + 17 * i % 900, 'x'); });
        int64_t bytes = 0;
        for (const auto &file : fs::directory_iterator(directory.path() / "v1")) {
            bytes += static_cast<int64_t>(file.file_size());
        }
        ASSERT_LE(bytes, bound);
    }
    EXPECT_GT(cache.stats().evicted, 100);
}

TEST(ObjectCache, RemovesOnlyStaleTemporaryFiles) {
    const TemporaryDirectory directory;
    fs::create_directories(directory.path() / "v1");
    fs::permissions(directory.path() / "v1", fs::perms::owner_all);
    const fs::path stale = directory.path() / "v1" / "0.tmp-stale";
    const fs::path fresh = directory.path() / "v1" / "0.tmp-fresh";
    set_file_text(stale, "x");
    set_file_text(fresh, "x");
    fs::last_write_time(stale, fs::file_time_type::clock::now() - 2h);
    ObjectCache(directory.path().string(), large).get(key_a, [] { return "object a"; });
    EXPECT_FALSE(fs::exists(stale));
    EXPECT_TRUE(fs::exists(fresh));
}

std::string scale_object(int factor) {
    return emit_object(scale_pipeline(factor));
}

TEST(ObjectCacheLoad, RemembersWhatIsLoaded) {
    const TemporaryDirectory directory;
    ObjectCache cache(directory.path().string(), large);
    bool hit = true;
    auto object = cache.load(
        key_a, [] { return scale_object(3); }, "scale", &hit);
    EXPECT_FALSE(hit);
    EXPECT_EQ(cache.load(key_a, never, "scale", &hit), object);
    EXPECT_TRUE(hit);
    EXPECT_EQ(cache.stats().hits, 1);
    EXPECT_EQ(cache.stats().reasons.at(0).subject, "cached object of scale");

    object.reset();
    object = cache.load(key_a, never, "scale", &hit);
    EXPECT_TRUE(hit);
    EXPECT_FLOAT_EQ(run_scale(*object), 24.0f);
    EXPECT_EQ(cache.stats().hits, 2);
    EXPECT_EQ(cache.stats().misses, 1);
}

TEST(ObjectCacheLoad, ManyThreadsGenerateOnce) {
    for (const int count : {1, 2, 4, 8}) {
        const TemporaryDirectory directory;
        ObjectCache cache(directory.path().string(), large);
        std::atomic<int> generated = 0;
        std::vector<std::shared_ptr<LoadedObject>> objects(static_cast<size_t>(count));
        std::vector<std::thread> threads;
        for (auto &object : objects) {
            threads.emplace_back([&] {
                const auto generate = [&] {
                    ++generated;
                    std::this_thread::sleep_for(20ms);
                    return scale_object(3);
                };
                object = cache.load(key_a, generate, "scale");
            });
        }
        for (std::thread &thread : threads) {
            thread.join();
        }
        EXPECT_EQ(generated, 1);
        EXPECT_THAT(objects, ::testing::Each(objects[0]));
        EXPECT_EQ(cache.stats().misses, 1);
        EXPECT_EQ(cache.stats().hits, count - 1);
    }
}

TEST(ObjectCacheLoad, FailureReachesAllWhoWaitAndIsNotRemembered) {
    const TemporaryDirectory directory;
    ObjectCache cache(directory.path().string(), large);
    std::atomic<int> failures = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&] {
            try {
                cache.load(
                    key_a,
                    []() -> std::string {
                        std::this_thread::sleep_for(20ms);
                        throw std::runtime_error("no compiler today");
                    },
                    "scale");
            } catch (const std::runtime_error &) {
                ++failures;
            }
        });
    }
    for (std::thread &thread : threads) {
        thread.join();
    }
    EXPECT_EQ(failures, 4);
    EXPECT_FLOAT_EQ(run_scale(*cache.load(
                        key_a, [] { return scale_object(2); }, "scale")),
                    16.0f);
}

TEST(ObjectCacheLoad, SharedCacheTakesModules) {
    const TemporaryDirectory directory;
    setenv("PTO_WSP_CACHE_DIR", directory.path().c_str(), 1);
    bool hit = true;
    auto object = load_cached(
        key_a, [] { return scale_pipeline(6); }, "scale", &hit);
    EXPECT_FALSE(hit);
    EXPECT_FLOAT_EQ(run_scale(*object), 48.0f);
    EXPECT_EQ(ObjectCache::shared().directory(), directory.path().string());
    object.reset();
    const auto refuse = []() -> lower::Module { throw std::logic_error("lowered again"); };
    EXPECT_FLOAT_EQ(run_scale(*load_cached(key_a, refuse, "scale", &hit)), 48.0f);
    EXPECT_TRUE(hit);
}

constexpr const char *shared_directory = "PTO_WSP_TEST_SHARED_CACHE";
constexpr int shared_keys = 4;

/// Run by `EightProcessesShareADirectory` in each of its processes.
TEST(ObjectCacheProcess, DISABLED_CompilesTheSharedKeys) {
    const CapturedLog log;
    ObjectCache cache(std::getenv(shared_directory), large);
    for (int i = 0; i < shared_keys; ++i) {
        const Hash128 key = {11, static_cast<uint64_t>(i)};
        const auto object = cache.load(
            key, [&] { return scale_object(i + 2); }, "scale");
        EXPECT_FLOAT_EQ(run_scale(*object), 8.0f * static_cast<float>(i + 2));
    }
    EXPECT_EQ(cache.stats().rebuilt, 0);
    EXPECT_TRUE(log.texts.empty());
}

TEST(ObjectCacheProcess, EightProcessesShareADirectory) {
    const TemporaryDirectory directory;
    setenv(shared_directory, directory.path().c_str(), 1);
    const char *arguments[] = {"backend_cpu_tests",
                               "--gtest_filter=*DISABLED_CompilesTheSharedKeys",
                               "--gtest_also_run_disabled_tests", "--gtest_brief=1", nullptr};
    std::vector<pid_t> children(8);
    for (pid_t &child : children) {
        ASSERT_EQ(posix_spawn(&child, "/proc/self/exe", nullptr, nullptr,
                              const_cast<char **>(arguments), environ),
                  0);
    }
    for (const pid_t child : children) {
        int status = -1;
        ASSERT_EQ(waitpid(child, &status, 0), child);
        EXPECT_EQ(status, 0);
    }
    EXPECT_EQ(file_names(directory.path() / "v1").size(), static_cast<size_t>(shared_keys));
    ObjectCache cache(directory.path().string(), large);
    for (int i = 0; i < shared_keys; ++i) {
        const Hash128 key = {11, static_cast<uint64_t>(i)};
        EXPECT_FLOAT_EQ(run_scale(*cache.load(key, never, "scale")),
                        8.0f * static_cast<float>(i + 2));
    }
}

TEST(EngineBuild, NamesVersionHalideAndSources) {
    EXPECT_THAT(std::string(engine_build()),
                ::testing::MatchesRegex("pto_wsp [0-9.]+, halide [0-9.]+, sources [0-9a-f]{32}"));
}

}  // namespace
}  // namespace pto::wsp::backend::cpu
