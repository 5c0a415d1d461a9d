#pragma once

#include "pto/wsp/workload/workload.h"

namespace pto::wsp::workload {

/// True for what acts when the program comes to it: tasks and slots.
bool is_site(const Node &node);

/// True for what sends to a channel, takes from one or closes one.
bool uses_channel(const Node &node);

/// True when something below the node, or it, does, or it is a net.
bool has_channels(const Node &node);

/// True when the node is a net or one is below it.
bool has_net(const Node &node);

/// True when there is no site below the node and it does nothing to a channel, those in empty loops
/// left out.
bool is_empty(const Node &node);

/// Number of sites below `node`, those in empty loops left out.
size_t site_count(const Node &node);

/// True when the structure alone puts all tasks below `node` in one order: a task, or sequential
/// loops and groups of such.
bool is_chain(const Node &node);

/// True when every run makes a task below `node`.
bool surely_makes_task(const Node &node);

/// True when there is a parallel loop below `node` that may have two iterations or more.
bool has_parallel_loop(const Node &node);

}  // namespace pto::wsp::workload
