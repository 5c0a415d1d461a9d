#include "pto/wsp/support/log.h"

#include <cstdio>
#include <memory>
#include <mutex>

#include "pto/wsp/support/env.h"
#include "pto/wsp/support/error.h"

namespace pto::wsp {

namespace {

const char *level_name(LogLevel level) {
    switch (level) {
    case LogLevel::Debug:
        return "debug";
    case LogLevel::Info:
        return "info";
    case LogLevel::Warning:
        return "warning";
    case LogLevel::Error:
        return "error";
    }
    return "error";
}

/// A diagnostic must come out although its filter is misspelt, so that is reported, not thrown.
LogLevel least_level() {
    static const LogLevel least = [] {
        try {
            std::string wanted = env::log_level();
            for (LogLevel level : {LogLevel::Debug, LogLevel::Info, LogLevel::Error}) {
                if (wanted == level_name(level)) {
                    return level;
                }
            }
        } catch (const PtoError &e) {
            std::fprintf(stderr, "pto_wsp: warning: %s\n", e.text().c_str());
        }
        return LogLevel::Warning;
    }();
    return least;
}

void print_to_stderr(LogLevel level, const std::string &text) {
    if (level >= least_level()) {
        std::fprintf(stderr, "pto_wsp: %s: %s\n", level_name(level), text.c_str());
    }
}

struct SinkHolder {
    std::mutex mutex;
    std::shared_ptr<const LogSink> sink = std::make_shared<const LogSink>(print_to_stderr);
};

/// Never destroyed: threads may still log while the process ends, and a sink may hold objects of an
/// interpreter that is gone by then.
SinkHolder &holder() {
    static SinkHolder *instance = new SinkHolder;
    return *instance;
}

}  // namespace

void set_log_sink(LogSink sink) {
    auto shared = std::make_shared<const LogSink>(sink ? std::move(sink) : print_to_stderr);
    std::lock_guard lock(holder().mutex);
    holder().sink.swap(shared);
}

void log(LogLevel level, const std::string &text) {
    std::shared_ptr<const LogSink> sink;
    {
        std::lock_guard lock(holder().mutex);
        sink = holder().sink;
    }
    // Called without the lock: a sink may log, or take the interpreter's lock.
    (*sink)(level, text);
}

}  // namespace pto::wsp
