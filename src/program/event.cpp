#include "pto/wsp/program/event.h"

#include <atomic>
#include <vector>

#include <fmt/format.h>

#include "building.h"
#include "pto/wsp/program/program.h"
#include "pto/wsp/runtime/signal.h"
#include "pto/wsp/support/error.h"

namespace pto::wsp {

Event::Event(std::string name, int64_t depth, const Loc &at) {
    static std::atomic<int64_t> made = 0;
    if (depth != 0 && depth != 1) {
        throw ChannelError(at, fmt::format("event: the depth is {}", depth), {},
                           "1: it stays recorded; 0: record and synchronize wait for each other");
    }
    name = name.empty() ? fmt::format("event{}", made++) : std::move(name);
    signal_ = std::make_shared<runtime::Signal>(name, depth);
    held_ = runtime::Signal::hold(signal_);
    handle_ = std::make_shared<const workload::Event>(
        workload::Event{std::move(name), depth, at, signal_});
}

const std::string &Event::name() const {
    return signal_->name();
}

int64_t Event::depth() const {
    return signal_->depth();
}

bool Event::record(const Timeout &timeout) const {
    return signal_->record(timeout);
}

void Event::record_after(const Program &program) const {
    signal_->expect();
    program.when_complete([signal = signal_] { signal->arrive(); });
}

bool Event::synchronize(const Timeout &timeout) const {
    return signal_->synchronize(timeout);
}

bool Event::query() const {
    return signal_->query();
}

bool Event::is_pending() const {
    return signal_->is_pending();
}

namespace {

std::optional<double> seconds(const Event::Timeout &timeout) {
    return timeout ? std::optional(std::chrono::duration<double>(*timeout).count()) : std::nullopt;
}

}  // namespace

void record(const Event &event, const std::function<void()> &after, const Event::Timeout &timeout,
            const Loc &at) {
    workload::Builder &builder = Building::required("record", at).builder;
    std::optional<std::vector<int>> marks;
    if (after) {
        marks.emplace();
        const int first = builder.tasks();
        after();
        for (int mark = first; mark < builder.tasks(); ++mark) {
            marks->push_back(mark);
        }
    }
    builder.record(event.handle(), std::move(marks), seconds(timeout), at);
}

void synchronize(const Event &event, const Event::Timeout &timeout, const Loc &at) {
    Building::required("synchronize", at).builder.synchronize(event.handle(), seconds(timeout), at);
}

}  // namespace pto::wsp
