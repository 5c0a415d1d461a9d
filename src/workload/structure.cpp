#include "workload/structure.h"

#include <algorithm>

#include "workload/node_visit.h"

namespace pto::wsp::workload {

bool is_empty(const Node &node) {
    return site_count(node) == 0;
}

size_t site_count(const Node &node) {
    return std::visit(Overloaded{
                          [](const TaskNode &) -> size_t { return 1; },
                          [](const LoopNode &loop) -> size_t {
                              return loop.variable.axis.size > 0 ? site_count(*loop.body) : 0;
                          },
                          [](const GroupNode &group) {
                              size_t count = 0;
                              for (const NodePtr &child : group.children) {
                                  count += site_count(*child);
                              }
                              return count;
                          },
                          [](const CallNode &call) { return site_count(*call.body); },
                      },
                      node.kind);
}

bool is_chain(const Node &node) {
    return std::visit(
        Overloaded{
            [](const TaskNode &) { return true; },
            [](const LoopNode &loop) {
                return (loop.sequential || loop.variable.axis.size == 1) && is_chain(*loop.body);
            },
            [](const GroupNode &group) {
                const auto tasks = std::ranges::count_if(
                    group.children, [](const NodePtr &child) { return !is_empty(*child); });
                return (group.sequential || tasks == 1) &&
                       std::ranges::all_of(group.children, [](const NodePtr &child) {
                           return is_empty(*child) || is_chain(*child);
                       });
            },
            [](const CallNode &call) { return is_chain(*call.body); },
        },
        node.kind);
}

bool has_parallel_loop(const Node &node) {
    return std::visit(Overloaded{
                          [](const TaskNode &) { return false; },
                          [](const LoopNode &loop) {
                              const int64_t size = loop.variable.axis.size;
                              return size > 0 && ((!loop.sequential && size > 1) ||
                                                  has_parallel_loop(*loop.body));
                          },
                          [](const GroupNode &group) {
                              return std::ranges::any_of(group.children, [](const NodePtr &child) {
                                  return has_parallel_loop(*child);
                              });
                          },
                          [](const CallNode &call) { return has_parallel_loop(*call.body); },
                      },
                      node.kind);
}

}  // namespace pto::wsp::workload
