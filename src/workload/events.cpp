#include "pto/wsp/workload/event.h"

#include <algorithm>
#include <map>

#include "pto/wsp/support/text.h"
#include "pto/wsp/workload/workload.h"

namespace pto::wsp::workload {

namespace {

class EventCheck {
public:
    void walk(const Node &node) {
        if (const auto *task = std::get_if<TaskNode>(&node.kind); task && task->mark >= 0) {
            processes_.emplace(task->mark, process_);
        } else if (const auto *event = std::get_if<EventNode>(&node.kind); event && event->after) {
            std::ranges::for_each(*event->after, [&](int mark) { check(*event, mark, node.at); });
        }
        const auto *net = std::get_if<NetNode>(&node.kind);
        size_t next = 0;
        for_each_child(node, [&](const NodePtr &child) {
            process_ = net != nullptr ? &net->processes[next++] : process_;
            walk(*child);
        });
        process_ = net != nullptr ? nullptr : process_;
    }

private:
    void check(const EventNode &event, int mark, const Loc &at) const {
        const auto found = processes_.find(mark);
        if (found == processes_.end()) {
            throw CompileError(at,
                               "record: event " + quoted(event.event->name) +
                                   " comes after a call that is not before it",
                               {}, "record it behind the call");
        }
        // A net has ended where the program goes on.
        if (process_ != nullptr && found->second != process_) {
            const auto name = [](const NetNode::Process *process) {
                return process == nullptr ? "the workload" : "process " + quoted(process->name);
            };
            throw CompileError(at,
                               "record: event " + quoted(event.event->name) + " of " +
                                   name(process_) + " comes after a call of " + name(found->second),
                               {}, "record it in the process of the call, or after all of them");
        }
    }

    std::map<int, const NetNode::Process *> processes_;  ///< of each mark
    const NetNode::Process *process_ = nullptr;          ///< around
};

}  // namespace

void check_events(const Node &root) {
    EventCheck().walk(root);
}

}  // namespace pto::wsp::workload
