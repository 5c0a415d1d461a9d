#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <set>
#include <string_view>

#include <fmt/format.h>

#include "pto/wsp/runtime/trace.h"

/// The Trace Event Format ("Trace Event Format", Google, 2016): times are microseconds; an event of
/// phase X has a duration, M names a process or thread, s and f are the ends of an arrow, i is a
/// moment, C a number that changes.
namespace pto::wsp::runtime {

namespace {

constexpr int workers_process = 1;
constexpr int streams_process = 2;
constexpr int channels_process = 3;

std::string in_quotes(std::string_view text) {
    return Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
}

/// Exact, so that events that touch do not overlap.
std::string us(int64_t ns) {
    return fmt::format("{}{}.{:03}", ns < 0 ? "-" : "", std::abs(ns) / 1000, std::abs(ns) % 1000);
}

class ChromeWriter {
public:
    explicit ChromeWriter(const Trace &trace) : trace_(trace) {}

    std::string write() {
        name_workers();
        for (const Trace::Task &task : trace_.tasks) {
            add_task(task);
        }
        for (size_t i = 0; i < trace_.dependences.size(); i++) {
            add_arrow(i, trace_.dependences[i]);
        }
        for (const Trace::Step &step : trace_.steps) {
            add(R"({{"ph":"X","pid":{},"tid":{},"ts":{},"dur":{},"name":"submit","cat":"expander"}})",
                workers_process, step.worker, us(step.begin_ns), us(step.end_ns - step.begin_ns));
        }
        add_streams();
        add_channels();
        return fmt::format("{{\"displayTimeUnit\":\"ns\",\"otherData\":{{\"level\":\"{}\","
                           "\"dropped_events\":{}}},\"traceEvents\":[\n{}\n]}}\n",
                           name(trace_.level), trace_.dropped, text_);
    }

private:
    template <typename... Values>
    void add(fmt::format_string<Values...> format, const Values &...values) {
        text_ += text_.empty() ? "" : ",\n";
        fmt::vformat_to(std::back_inserter(text_), format, fmt::make_format_args(values...));
    }

    void add_name(const char *what, int process, int64_t thread, std::string_view name) {
        add(R"({{"ph":"M","pid":{},"tid":{},"name":"{}","args":{{"name":{}}}}})", process, thread,
            what, in_quotes(name));
    }
    void add_order(const char *what, int process, int64_t thread) {
        add(R"({{"ph":"M","pid":{},"tid":{},"name":"{}","args":{{"sort_index":{}}}}})", process,
            thread, what, thread);
    }

    void name_workers() {
        add_name("process_name", workers_process, 0, "workers");
        for (int worker = 0; worker < trace_.workers; worker++) {
            add_name("thread_name", workers_process, worker, fmt::format("worker {}", worker));
            add_order("thread_sort_index", workers_process, worker);
        }
    }

    std::string arguments(const Trace::Task &task) const {
        const Trace::Site &site = trace_.sites[static_cast<size_t>(task.site)];
        std::string text = fmt::format(R"("id":{})", task.id);
        for (const auto &[loop, value] : trace_.indices(task)) {
            text += fmt::format(",{}:{}", in_quotes(loop), value);
        }
        if (task.submitted_ns >= 0) {
            text += fmt::format(R"(,"submitted":{})", us(task.submitted_ns));
        }
        if (task.stream >= 0) {
            text += fmt::format(R"(,"stream":{})", task.stream);
        }
        if (task.tasks != 1) {
            text += fmt::format(R"(,"tasks":{})", task.tasks);
        }
        if (site.at.known()) {
            text += fmt::format(R"(,"at":{})", in_quotes(site.at.str()));
        }
        return text + (task.failed ? R"(,"failed":true)" : "");
    }

    void add_task(const Trace::Task &task) {
        const Trace::Site &site = trace_.sites[static_cast<size_t>(task.site)];
        add(R"({{"ph":"X","pid":{},"tid":{},"ts":{},"dur":{},"name":{},"cat":"{}","args":{{{}}}}})",
            workers_process, task.worker, us(task.begin_ns), us(task.duration_ns()),
            in_quotes(site.kernel), site.join ? "join" : "task", arguments(task));
    }

    /// An end of an arrow belongs to the event that is open at its time.
    void add_arrow(size_t number, const Trace::Dependence &edge) {
        const Trace::Task &before = trace_.tasks[static_cast<size_t>(edge.before)];
        const Trace::Task &after = trace_.tasks[static_cast<size_t>(edge.after)];
        const int64_t leaves = std::max(before.begin_ns, before.end_ns - 1);
        add(R"({{"ph":"s","pid":{},"tid":{},"ts":{},"id":{},"name":"waits","cat":"dependence"}})",
            workers_process, before.worker, us(leaves), number);
        add(R"({{"ph":"f","bp":"e","pid":{},"tid":{},"ts":{},"id":{},"name":"waits","cat":"dependence"}})",
            workers_process, after.worker, us(after.begin_ns), number);
    }

    void add_streams() {
        std::set<int64_t> streams;
        for (const Trace::Task &task : trace_.tasks) {
            if (task.stream < 0) {
                continue;
            }
            streams.insert(task.stream);
            add(R"({{"ph":"X","pid":{},"tid":{},"ts":{},"dur":{},"name":{},"cat":"stream","args":{{"worker":{},{}}}}})",
                streams_process, task.stream, us(task.begin_ns), us(task.duration_ns()),
                in_quotes(trace_.sites[static_cast<size_t>(task.site)].kernel), task.worker,
                arguments(task));
        }
        if (!streams.empty()) {
            add_name("process_name", streams_process, 0, "streams");
        }
        for (int64_t stream : streams) {
            add_name("thread_name", streams_process, stream, fmt::format("stream {}", stream));
            add_order("thread_sort_index", streams_process, stream);
        }
    }

    std::string channel(int number) const {
        const auto at = static_cast<size_t>(number);
        return at < trace_.channels.size() ? trace_.channels[at] : std::to_string(number);
    }
    std::string process(int number) const {
        const auto at = static_cast<size_t>(number);
        return at < trace_.processes.size() ? trace_.processes[at] : std::to_string(number);
    }

    void add_channels() {
        std::vector<int64_t> held;
        for (const Trace::Token &token : trace_.tokens) {
            const auto at = static_cast<size_t>(token.channel);
            held.resize(std::max(held.size(), at + 1));
            held[at] += token.sent ? 1 : -1;
            const std::string name = in_quotes("channel " + channel(token.channel));
            add(R"({{"ph":"i","s":"t","pid":{},"tid":{},"ts":{},"name":"{} {}","cat":"channel","args":{{"token":{},"process":{}}}}})",
                channels_process, token.channel, us(token.time_ns), token.sent ? "send" : "receive",
                token.token, token.token, in_quotes(process(token.process)));
            add(R"({{"ph":"C","pid":{},"ts":{},"name":{},"args":{{"tokens":{}}}}})",
                channels_process, us(token.time_ns), name, held[at]);
        }
        if (!held.empty()) {
            add_name("process_name", channels_process, 0, "channels");
        }
        for (size_t i = 0; i < held.size(); i++) {
            add_name("thread_name", channels_process, static_cast<int64_t>(i),
                     "channel " + channel(static_cast<int>(i)));
        }
    }

    const Trace &trace_;
    std::string text_;
};

}  // namespace

std::string Trace::chrome_json() const {
    return ChromeWriter(*this).write();
}

}  // namespace pto::wsp::runtime
