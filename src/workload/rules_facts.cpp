#include "workload/rules_facts.h"

#include <algorithm>

#include "pto/wsp/kernel/concatenate.h"
#include "pto/wsp/workload/names.h"

namespace pto::wsp::workload {

using rewrite::Match;
using rewrite::NodeId;

bool same_whole_region(const Region &a, const Region &b) {
    return a.tensor == b.tensor && a.offsets == b.offsets && a.extents == b.extents &&
           a.keep == b.keep && !a.valid_rows && !a.valid_columns && !b.valid_rows &&
           !b.valid_columns;
}

bool only_writes_tiles(const TaskNode &task) {
    const auto &program = task.kernel->program;
    return program != nullptr && program->custom == nullptr &&
           std::ranges::none_of(program->nodes, [](const kernel::Node &node) {
               return kernel::has_effect(node.op) && !kernel::is_store(node.op);
           });
}

TreeRule::Predicate only_writes_tiles(std::string capture) {
    return [capture = std::move(capture)](const WorkloadGraph &graph, const Match &m) {
        return only_writes_tiles(graph.task(m[capture]));
    };
}

bool overwrites_all(const TaskNode &later, const TaskNode &task) {
    const auto &program = later.kernel->program;
    if (program == nullptr || program->custom != nullptr) {
        return false;
    }
    auto overwrites = [&](const Region &region) {
        for (size_t i = 0; i < later.arguments.size(); ++i) {
            const auto *other = std::get_if<Region>(&later.arguments[i].value);
            if (other != nullptr && later.arguments[i].direction == kernel::Direction::Out &&
                same_whole_region(*other, region) &&
                kernel::stores_whole(*program, static_cast<int>(i))) {
                return true;
            }
        }
        return false;
    };
    return std::ranges::all_of(task.arguments, [&](const TaskArgument &argument) {
        const auto *region = std::get_if<Region>(&argument.value);
        return region == nullptr || argument.direction == kernel::Direction::In ||
               overwrites(*region);
    });
}

std::vector<const Site *> sites_below(const WorkloadGraph &graph, NodeId node) {
    std::vector<const Site *> found;
    for_each_node(*graph.tree(node), [&](const Node &each, const LoopPath &) {
        if (const Site *site = graph.accesses().find(each)) {
            found.push_back(site);
        }
    });
    return found;
}

bool any_meeting(const Site &a, const Site &b, const Relation &relation,
                 const std::function<bool(const DataAccess &, const DataAccess &)> &counts) {
    return std::ranges::any_of(a.accesses, [&](const DataAccess &of_a) {
        return std::ranges::any_of(b.accesses, [&](const DataAccess &of_b) {
            return counts(of_a, of_b) && may_meet(a, of_a, b, of_b, relation);
        });
    });
}

bool reads_from(const Site &reader, const Site &writer, const Relation &relation) {
    return any_meeting(reader, writer, relation,
                       [](const DataAccess &read, const DataAccess &written) {
                           return read.reads && written.writes;
                       });
}

bool reads_from(const Site &reader, const Site &writer) {
    return reads_from(reader, writer, {common_loops(reader.path, writer.path), 0});
}

}  // namespace pto::wsp::workload
