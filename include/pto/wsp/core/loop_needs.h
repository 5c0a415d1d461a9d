#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace pto::wsp {

/// True of an iteration that needs one of those that are lost. Any thread may ask.
using NeedsLost = std::function<bool(int64_t iteration)>;

/// Which of `mine` iterations of a loop need those of another that are `lost`, out of `of`.
using IterationNeeds =
    std::function<NeedsLost(const std::vector<int64_t> &lost, int64_t of, int64_t mine)>;

/// A loop that is not tracked needs results of one in an earlier phase. An iteration is lost when
/// it needs one that failed or is lost itself.
struct LoopNeed {
    int loop = 0;                    ///< counted over all phases
    IterationNeeds iterations = {};  ///< empty: each iteration needs all
};

}  // namespace pto::wsp
