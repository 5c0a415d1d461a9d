#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "pto/wsp/core/loop_needs.h"
#include "pto/wsp/support/reason.h"
#include "pto/wsp/workload/names.h"
#include "pto/wsp/workload/workload.h"

/// Dependence from data. Two tasks depend on each other when they touch an element in common and
/// one of them writes it; they run in program order then. What is proven independent carries no
/// tracking at all; the rest is tracked at run time on cells.
///
/// The test of a pair of accesses is exact for constant, separable and mixed-radix offsets
/// (`A[i, j]`, `A[64*i + j]`, tiles, halos); everything else counts as a dependence. It solves the
/// linear system "both touch one element" by interval propagation and divisibility, see
/// src/workload/linear_system.h.
namespace pto::wsp::workload {

/// A rule that assigns every task to one of some logical lanes. Tasks of a lane run one at a time,
/// in program order.
struct LaneRule {
    std::string name;               ///< `dispatch`, `stream`
    std::optional<ScalarExpr> key;  ///< over names of loop variables; none: the number of the task
    int64_t lanes = 0;              ///< lane = key mod lanes; 0: as many as there are workers
    bool pinned = false;            ///< lane l runs on worker l
    Loc at;
    /// Not empty: lane = FNV-1a of these, over names of loop variables, mod lanes.
    std::vector<ScalarExpr> hashed = {};
};

/// FNV-1a of 64 bits (Fowler, Noll and Vo) of the little-endian bytes of `keys`, one after another.
uint64_t hash_keys(const std::vector<int64_t> &keys);

/// A given dependence: tasks of kernel `after` wait for those of kernel `before` that come before
/// them in program order and whose key, over names of loop variables, is the same.
struct EdgeRule {
    std::string before;
    std::string after;
    ScalarExpr before_key = 0;
    ScalarExpr after_key = 0;
};

/// What orders tasks besides sequences and lanes, and what a run needs to know of each of them.
struct OrderRules {
    /// Which dependences are found in data.
    enum class Data {
        Exact,  ///< of tasks that touch an element in common
        Bytes,  ///< of tasks whose arguments' first to last bytes overlap
        None,
    };
    Data data = Data::Exact;
    std::vector<EdgeRule> edges;
    /// With Data::None: dependences that the edges leave out are not an error.
    bool trusted = false;
    /// Where not empty: why tasks are tracked whatever is proven.
    std::string tracked_because;
    std::optional<ScalarExpr> rank;  ///< over names of loop variables and `number_variable`
    std::optional<ScalarExpr> pool;  ///< as `rank`
    Loc at;
};

/// The variable of expressions below that stands for the number of workers.
inline constexpr const char *workers_variable = "workers$";

/// The variable that stands for the number of tasks submitted before.
inline constexpr const char *number_variable = "number$";

/// No executor has more workers (see `env::workers`).
inline constexpr int64_t max_workers = 1024;

/// Loops whose iterations are independent, but for a wavefront. One linear index runs over all of
/// them in row-major order (the last loop fastest); an iteration runs `body` serially, in program
/// order, loops inside included.
struct StaticNest {
    LoopPath loops;  ///< outermost first; none: one iteration
    NodePtr body;
    std::optional<int64_t> iterations = 1;           ///< none: the sizes of `loops` decide
    std::optional<int64_t> tasks_per_iteration = 1;  ///< none: not always the same
    Loc at;
    /// Nests of earlier phases that write what this one reads or that a sequence puts before it.
    std::vector<LoopNeed> needs = {};
    /// The last two loops are a wavefront: an iteration needs those before it in either loop and in
    /// no loop after it. What is lost with a failing one is what is before it in neither.
    bool wavefront = false;
};

/// Nests that are independent of each other and run together.
using StaticPhase = std::vector<StaticNest>;

/// Cells on which dependences are tracked: of a tensor's memory, of a lane rule, or of a sequential
/// scope.
struct CellGrid {
    std::string name;
    int64_t cells = 1;
    /// Whom a failing task takes along of those that wait for it on these cells: who reads what it
    /// should have written; all; none.
    enum class Kind { Data, Sequence, Lane };
    Kind kind = Kind::Data;
};

/// What a task does to a grid: to the box of cells that starts at `first`.
struct CellAccess {
    int grid = 0;
    bool reads = false;
    bool writes = false;
    /// Linear index of the first cell: over ids of loop variables (and `workers_variable`,
    /// `number_variable`); affine unless cells are coarse or lanes.
    ScalarExpr first = 0;
    /// Along each dimension `count` cells, `stride` apart; none: the one cell.
    struct Extent {
        int64_t count = 1;
        int64_t stride = 1;
        bool operator==(const Extent &) const = default;
    };
    std::vector<Extent> box;
    /// Of a write: it surely writes the cells whole, and nothing of what they held is left.
    bool covers = true;
};

/// A place that makes tasks, or joins: tasks without a kernel that only order others, or fills a
/// slot, which waits for the tasks that write the element first, or records an event or waits for
/// one. A record that does not wait is a join.
struct TrackedSite {
    const TaskNode *task = nullptr;
    const SlotNode *slot = nullptr;
    const EventNode *event = nullptr;  ///< null, as `task` and `slot`: a join
    int gathers = -1;                  ///< of a record: it waits for those that name this number
    std::vector<int> gathered_by = {};
    LoopPath loops;  ///< around it, outermost first
    std::vector<CellAccess> accesses;
    std::optional<ScalarExpr> worker;  ///< that it is pinned to, modulo the number of workers
    /// Variables of the expressions above that are hashes: FNV-1a of `keys` modulo `count`.
    struct Hash {
        std::string variable;
        std::vector<ScalarExpr> keys;
        ScalarExpr count = 1;
    };
    std::vector<Hash> hashes;
    std::optional<ScalarExpr> rank;  ///< of tasks, see OrderRules
    std::optional<ScalarExpr> pool;
    std::string name;  ///< of the kernel; `join`, `slot`
    Loc at;
    int process = -1;  ///< in `TrackedPlan::processes`; -1: the program itself
};

/// A step of the tracked program: a site, a loop over steps, a branch, something done to channels,
/// or the processes of a net.
struct TrackedStep {
    int site = -1;                       ///< index into `TrackedPlan::sites`, or -1
    const LoopVar *loop = nullptr;       ///< not null: runs `body` for 0 ... size - 1
    std::vector<TrackedStep> body;       ///< never empty for a loop
    const BranchNode *branch = nullptr;  ///< not null: runs one of `cases`, or the last of them
    std::vector<std::vector<TrackedStep>> cases;  ///< one for each of the branch, and `otherwise`
    const SendNode *send = nullptr;        ///< not null: `body` ends with the site of the sent task
    const ConsumeNode *consume = nullptr;  ///< not null: runs `body` for each token
    bool close = false;                    ///< of `channels[0]`
    std::vector<int> channels;  ///< of `send`, `consume` and `close`: in `TrackedPlan::channels`
    int first_process = -1;     ///< not -1: starts processes and waits for their ends
    int process_count = 0;
};

/// A thread of control beside the program itself.
struct TrackedProcess {
    std::string name;
    std::vector<TrackedStep> program;
    std::vector<int> sends;     ///< in `TrackedPlan::channels`
    std::vector<int> receives;  ///< in `TrackedPlan::channels`
    Loc at;
};

/// A channel of one net.
struct TrackedChannel {
    ChannelPtr channel;
    int value_count = 0;  ///< of its tokens, at most
    int64_t slots = 1;    ///< that tokens take in turn: `number mod slots`
    bool tried = false;   ///< some `try_send` goes there
};

/// Everything is submitted in the order of `program`; each submission waits for the accesses to its
/// cells submitted before that conflict with its own. Processes of a net submit in turns.
///
/// The tasks of a channel are ordered by cells, one for each slot of the channel: the sent task
/// writes that of its token, those in the body of a `consume` read it.
struct TrackedPlan {
    std::vector<CellGrid> grids;
    std::vector<TrackedSite> sites;
    std::vector<TrackedStep> program;
    std::vector<TrackedProcess> processes;
    std::vector<TrackedChannel> channels;
};

/// What the analysis knows about memory; holds for bound data as long as `check_binding` accepts
/// it.
struct TensorMemory {
    TensorPtr tensor;
    int storage = 0;  ///< tensors of one storage share memory
    bool written = false;
    bool exact = false;  ///< the elements it shares with others of its storage are known
};

/// How the tasks of a workload are ordered, and why.
struct DependenceSummary {
    NodePtr root;  ///< keeps what the plan points to
    /// Phases one after another, or tracked.
    std::variant<std::vector<StaticPhase>, TrackedPlan> plan;
    /// One for the plan, then one for each loop: which proof there is of it (independent loop,
    /// chain, reduction, wavefront) and why it is not independent; what would remove tracking; then
    /// `racing_writes`.
    Reasons reasons;
    std::vector<TensorMemory> memory;  ///< in the order of `Workload::tensors`

    bool is_static() const { return plan.index() == 0; }
    /// The plan, one line a phase, nest, grid, site and access.
    std::string str() const;
};

/// Analyses `workload` under lane and order rules. ScheduleError for a key with an unknown name or
/// a divisor that may be zero, and for edges that leave out a dependence and are not trusted;
/// CompileError past 2^63 tasks.
DependenceSummary analyse_dependence(const Workload &workload,
                                     const std::vector<LaneRule> &lanes = {},
                                     const OrderRules &rules = {});

/// Places where iterations of a parallel loop certainly write one element that nothing in the loop
/// reads: they run in program order, so that the last one stays, but hardly that was meant. One
/// reason for each, at the line of the call; both writes are in its text. Empty for workloads of
/// more than 256 task places.
Reasons racing_writes(const Workload &workload);

/// Pairs (i, j), i < j, of tile arguments of one task, one of them written at least, that may have
/// an element in common.
std::vector<std::pair<int, int>> overlapping_arguments(const TaskNode &task, const LoopPath &path);

/// Checks that other data (one view for each entry of `memory`, of the same shape and strides)
/// keeps what the analysis relied on. TypeCheckError at `at` naming the two tensors that now share
/// memory, or do no longer share it in the same way.
void check_binding(const DependenceSummary &summary, const std::vector<TensorView> &views,
                   const Loc &at);

}  // namespace pto::wsp::workload
