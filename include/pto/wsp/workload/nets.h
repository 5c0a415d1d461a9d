#pragma once

#include "pto/wsp/workload/workload.h"

namespace pto::wsp::workload {

/// `root` with the statements of its body that send or consume as processes of nets: neighbouring
/// ones that a channel connects, and what is between them, are one net. Where a channel is used but
/// not both sent to and consumed, `root` is a part of something and stays as it is.
///
/// ```
/// for i: send(ch, load[i](X[i], buf))     -->     net { process load produces ch { ... }
/// consume ch: use(buf, Y[t])                            process use consumes ch { ... } }
/// ```
///
/// A region that a sent task writes and tasks that consume its token read, neither with an index,
/// is stored once for each slot of the channel. CompileError where something else uses it as well,
/// and as of `check_nets`.
NodePtr with_nets(const NodePtr &root);

/// CompileError for what cannot run: something is sent or consumed outside of a process, a net
/// stands in a loop, branch or process, a process uses a channel that it does not declare, a
/// channel of a net that nothing sends to or consumes, a process that waits for itself, a token
/// that has other values than are used, a slot that is filled in one process and used in another.
void check_nets(const Node &root);

}  // namespace pto::wsp::workload
