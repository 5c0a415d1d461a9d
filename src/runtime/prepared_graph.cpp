#include "runtime/prepared_graph.h"

#include <algorithm>
#include <string>

#include "runtime/channels.h"

namespace pto::wsp::runtime {

namespace {

constexpr int largest_window = 1 << 24;
/// Slots of all channels, each of which may be a waiter of the window.
constexpr int64_t most_channel_slots = 1 << 24;

InternalError inconsistent(const std::string &text) {
    return {"task graph", text};
}

void check_channels(const DynamicGraph &graph) {
    auto channels = static_cast<int>(graph.channels.size());
    for (const Process &process : graph.processes) {
        for (const std::vector<int> *list : {&process.sends, &process.receives}) {
            for (int channel : *list) {
                if (channel < 0 || channel >= channels) {
                    throw inconsistent("process " + process.name + " uses channel " +
                                       std::to_string(channel) + " of " + std::to_string(channels));
                }
            }
        }
    }
    int64_t slots = 0;
    for (const ChannelSpec &channel : graph.channels) {
        if (channel.depth < 0 || channel.depth > most_channel_slots || channel.value_count < 0 ||
            channel.slots < 0 || channel.slots > most_channel_slots) {
            throw inconsistent("channel " + channel.name + " has depth " +
                               std::to_string(channel.depth) + " and tokens of " +
                               std::to_string(channel.value_count) + " values");
        }
        if (channel.slots != 0 && channel.slots <= channel.depth) {
            throw inconsistent("channel " + channel.name + " has " + std::to_string(channel.slots) +
                               " slots, expected more than its depth, " +
                               std::to_string(channel.depth));
        }
        slots += Channel::slots_of(channel);
        if (slots > most_channel_slots) {
            throw inconsistent("the channels have more than " + std::to_string(most_channel_slots) +
                               " slots");
        }
    }
}

void check_events(const DynamicGraph &graph) {
    const auto events = static_cast<int>(graph.events.size());
    int lists = 0;
    for (const EventSite &event : graph.events) {
        lists = std::max(lists, event.gathers + 1);
    }
    for (const TaskSite &site : graph.sites) {
        const bool is_event = site.event >= 0;
        const EventSite *event = is_event && site.event < events
                                     ? &graph.events[static_cast<size_t>(site.event)]
                                     : nullptr;
        const bool submitted = event != nullptr && event->side == Signal::Side::Record &&
                               event->signal != nullptr && event->signal->depth() > 0;
        if (is_event && (event == nullptr || event->signal == nullptr || site.function != nullptr ||
                         (submitted && event->gathers < 0))) {
            throw inconsistent(site.name + " is event " + std::to_string(site.event) + " of " +
                               std::to_string(events));
        }
        for (int list : site.gathered_by) {
            if (list < 0 || list >= lists) {
                throw inconsistent(site.name + " is gathered by " + std::to_string(list) + " of " +
                                   std::to_string(lists));
            }
        }
    }
}

void check_rules(const DynamicGraph &graph) {
    const auto pools =
        graph.rules ? std::max<int64_t>(static_cast<int64_t>(graph.rules->pools.size()), 1) : 1;
    for (const TaskSite &site : graph.sites) {
        if (site.rank_slot >= site.slot_count || site.pool_slot >= site.slot_count) {
            throw inconsistent("kernel " + site.name + " has its rank in slot " +
                               std::to_string(site.rank_slot) + " and its pool in slot " +
                               std::to_string(site.pool_slot) + " of " +
                               std::to_string(site.slot_count));
        }
        if (site.pool < 0 || site.pool >= pools || site.weight < 0) {
            throw inconsistent("kernel " + site.name + " is of pool " + std::to_string(site.pool) +
                               " of " + std::to_string(pools) + " and has the weight " +
                               std::to_string(site.weight));
        }
    }
    if (graph.rules && (graph.rules->batch < 1 || graph.rules->in_a_row < 1)) {
        throw inconsistent("batches of " + std::to_string(graph.rules->batch) + " tasks, " +
                           std::to_string(graph.rules->in_a_row) + " of a rank in a row");
    }
    if (graph.window_rule && graph.window_rule->size < 1) {
        throw inconsistent("the window holds " + std::to_string(graph.window_rule->size) + " " +
                           graph.window_rule->unit);
    }
}

void check(const DynamicGraph &graph) {
    if (graph.processes.empty()) {
        throw inconsistent("the graph has no processes");
    }
    for (const Process &process : graph.processes) {
        if (process.expand == nullptr) {
            throw inconsistent("process " + process.name + " has no expander");
        }
        if (process.frame_words < 1) {
            throw inconsistent("the frame of process " + process.name + " has " +
                               std::to_string(process.frame_words) + " words, expected at least 1");
        }
    }
    if (graph.window < 1 || graph.window > largest_window) {
        throw inconsistent("the window holds " + std::to_string(graph.window) +
                           " tasks, expected 1..." + std::to_string(largest_window));
    }
    for (int64_t cells : graph.grids) {
        if (cells < 0) {
            throw inconsistent("a grid has " + std::to_string(cells) +
                               " cells, expected at least 0");
        }
    }
    check_channels(graph);
    check_events(graph);
    check_rules(graph);
    auto grids = static_cast<int>(graph.grids.size());
    for (const TaskSite &site : graph.sites) {
        for (const Access &access : site.accesses) {
            if (access.grid < 0 || access.grid >= grids) {
                throw inconsistent("an access of kernel " + site.name + " is in grid " +
                                   std::to_string(access.grid) + " of " + std::to_string(grids));
            }
        }
    }
}

PreparedAccess prepare(const Access &access, int64_t grid_begin, int64_t grid_cells) {
    PreparedAccess prepared{};
    prepared.grid_begin = grid_begin;
    prepared.highest = grid_cells - 1;
    prepared.box = &access.box;
    prepared.writes = access.writes;
    prepared.needs_readers = access.spread == Spread::Sequence;
    prepared.needs_writer =
        prepared.needs_readers || (access.spread == Spread::Data && access.reads);
    prepared.single = access.box.empty();
    prepared.empty = !access.reads && !access.writes;
    for (const Access::Extent &extent : access.box) {
        int64_t reach = (extent.count - 1) * extent.stride;
        prepared.lowest -= std::min<int64_t>(reach, 0);
        prepared.highest -= std::max<int64_t>(reach, 0);
        prepared.empty = prepared.empty || extent.count <= 0;
    }
    return prepared;
}

}  // namespace

PreparedGraph::PreparedGraph(const DynamicGraph &graph) {
    check(graph);
    std::vector<int64_t> grid_begins;
    for (int64_t cells : graph.grids) {
        grid_begins.push_back(cell_count);
        cell_count += cells;
    }
    for (const TaskSite &site : graph.sites) {
        PreparedSite prepared{site.function,
                              site.slot_count,
                              static_cast<uint32_t>(accesses.size()),
                              0,
                              site.rank_slot,
                              site.pool_slot,
                              site.pool,
                              site.function == nullptr ? 0 : site.weight};
        for (const Access &access : site.accesses) {
            auto grid = static_cast<size_t>(access.grid);
            accesses.push_back(prepare(access, grid_begins[grid], graph.grids[grid]));
        }
        prepared.last_access = static_cast<uint32_t>(accesses.size());
        sites.push_back(prepared);
        const size_t indices = graph.keeps_indices ? site.loops.size() : 0;
        most_slots = std::max(most_slots, site.slot_count + static_cast<int>(indices));
    }
}

}  // namespace pto::wsp::runtime
