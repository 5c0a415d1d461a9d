#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "pto/wsp/kernel/type.h"
#include "pto/wsp/support/error.h"

namespace pto::wsp::workload {

struct Tensor;

/// Where processes of a net send tokens to and take them from, in order.
struct Channel {
    std::string name;
    int64_t depth = 0;  ///< tokens that it holds; 0: who sends waits until the token is taken
    Loc at;
    /// Of the payloads of a token, in the order of the sent task's parameters: depth + 1 tiles
    /// each, the first dimension is `number mod (depth + 1)`. Made when first asked for.
    std::vector<std::shared_ptr<const Tensor>> payloads;
    /// Tokens that it holds now, in all runs together.
    std::shared_ptr<std::atomic<int64_t>> size = std::make_shared<std::atomic<int64_t>>(0);

    /// Slots for tokens: those that it holds and the one that is being used.
    int64_t slots() const { return depth + 1; }
    /// Payload `number`. TypeCheckError at `at` when it has another type, or none before it is
    /// known.
    std::shared_ptr<const Tensor> payload(size_t number, const kernel::TileType &type,
                                          const std::string &name, const Loc &at);
};
using ChannelPtr = std::shared_ptr<Channel>;

/// CompileError unless the depth is in 0...2^20.
ChannelPtr make_channel(std::string name, int64_t depth, Loc at = Loc::here());

}  // namespace pto::wsp::workload
