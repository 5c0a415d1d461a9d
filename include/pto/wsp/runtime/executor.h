#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "pto/wsp/core/abi.h"
#include "pto/wsp/core/loop_needs.h"
#include "pto/wsp/runtime/observer.h"
#include "pto/wsp/runtime/signal.h"
#include "pto/wsp/support/error.h"

namespace pto::wsp::runtime {

/// A task is *lost* when it failed, or when it waits for a task that is lost through an access that
/// says so; lost tasks do not run, and all others do.
enum class Spread : uint8_t {
    Data,      ///< who reads a cell is lost with its last writer; who overwrites it is not
    Sequence,  ///< who waits is lost, whatever it waits for: the order is the user's
    None,      ///< lanes only order
};

/// Dependences are kept on *cells*: each tracked tensor (or lane, or sequential scope) is a grid of
/// cells; an access touches a box of cells. A task that reads a cell waits for its last writer; one
/// that writes it waits for its last writer and for all readers since.
struct Access {
    int grid = 0;
    bool reads = true;
    bool writes = false;
    /// The box, relative to the first cell that `pto_wsp_submit` gets: along each dimension `count`
    /// cells, `stride` apart. Empty: the one cell.
    struct Extent {
        int64_t count = 1;
        int64_t stride = 1;
    };
    std::vector<Extent> box;
    Spread spread = Spread::Data;
};

/// A place in a workload that makes tasks.
struct TaskSite {
    std::string name;                  ///< of the kernel
    abi::KernelFn function = nullptr;  ///< null: a join, which only orders others, or an event
    int slot_count = 0;
    std::vector<Access> accesses;
    Loc at;
    /// The loops around it, outermost first, and the words of the frame that hold their values.
    struct Loop {
        std::string name;
        int word = 0;
    };
    std::vector<Loop> loops = {};
    int stream_access = -1;  ///< the access whose cell is the number of the task's stream
    int process = 0;         ///< that submits its tasks
    /// The slots that hold a task's rank and its pool, see TaskRules; -1: rank 0, and `pool`.
    int rank_slot = -1;
    int pool_slot = -1;
    int pool = 0;
    int64_t weight = 1;  ///< of a task in the window, see WindowRule
    /// In `DynamicGraph::events`, -1: none. One that records a latched signal is submitted as a
    /// join, all others are met by pto_wsp_meet.
    int event = -1;
    /// The records that wait for its tasks, by the number that they gather.
    std::vector<int> gathered_by = {};
};

/// What a place in a workload does with a signal.
struct EventSite {
    std::shared_ptr<Signal> signal;
    Signal::Side side = Signal::Side::Synchronize;
    /// Of a record: it comes after all tasks submitted before that name this number; -1: none.
    int gathers = -1;
    Signal::Timeout timeout;  ///< of those that are met; the run fails when it has passed
};

/// Which ready task starts when. Tasks that are pinned to a worker are chosen from apart.
struct TaskRules {
    /// Which of several ready tasks starts first.
    enum class Order {
        Fifo,         ///< that which became ready first
        Newest,       ///< that which became ready last
        Priority,     ///< that with the largest rank, of these the first
        Interleaved,  ///< of ranks 0, 1, ... in turn, `in_a_row` of each
    };
    Order order = Order::Fifo;
    int64_t in_a_row = 1;
    int64_t ranks = 1;  ///< number of ranks that are interleaved
    /// Ready tasks are let go that many at a time, the rest when nothing more can become ready.
    int64_t batch = 1;
    double tasks_per_ms = 0;  ///< that start at most; 0: any number
    /// Most tasks of each pool that run at a time; 0: an equal share of the workers, at least 1.
    /// None: any number.
    std::vector<int64_t> pools;
    /// No task starts before so many have been submitted, or as many as can be.
    int64_t start_after = 0;
    /// No task starts before all have been submitted; a run in which that cannot be fails.
    bool start_at_end = false;
};

/// How much may be submitted and unfinished: tasks whose weights are `size` together.
struct WindowRule {
    enum class Mode {
        Stall,      ///< what comes next waits
        Abort,      ///< more ends the run with an ExecutionError
        Benchmark,  ///< as Stall, counted in RunStats
    };
    Mode mode = Mode::Stall;
    int64_t size = 1;
    const char *unit = "tasks";  ///< for errors
};

/// A sequential thread of control that submits tasks and may send to and receive from channels: a
/// resumable expander with a frame of its own. It holds no thread while it waits.
struct Process {
    std::string name;
    abi::ExpandFn expand = nullptr;
    int frame_words = 1;
    std::vector<int> sends;     ///< the channels that it may send to, each once
    std::vector<int> receives;  ///< and those that it may receive from
    Loc at;
};

/// A channel carries *tokens* from processes to processes, first in first out: a number and
/// `value_count` values each. A sender waits while `depth` tokens have not been taken; depth 0 is a
/// rendezvous: after each token the sender waits until it has been taken. A channel closes when all
/// processes that may send to it have ended, or by `pto_wsp_close`.
///
/// What a token carries in memory is in slot `number mod slots` of its storage, and its tasks are
/// ordered by the cells of that slot. Two unfinished tokens never share a slot, where the *body* of
/// a token is what its receiver submits until it receives from the channel again.
struct ChannelSpec {
    std::string name;
    int64_t depth = 0;
    int value_count = 0;
    /// 0: depth + 1, which is enough for one receiver. With several receivers a token that takes
    /// long holds its slot while others go on, so `depth` plus two for each receiver keeps all
    /// busy.
    int64_t slots = 0;
    bool tried = false;  ///< `pto_wsp_try_send` may be called
    Loc at;
    /// Where there is one, the tokens of a run are counted in it as long as they are in the
    /// channel.
    std::shared_ptr<std::atomic<int64_t>> size = nullptr;
};

/// Tasks that are tracked at run time. At most `window` are submitted and unfinished at a time, so
/// memory does not grow with the number of tasks. Process 0 is the workload itself; it starts the
/// others.
struct DynamicGraph {
    std::vector<Process> processes;
    std::vector<TaskSite> sites;
    std::vector<int64_t> grids;  ///< cells of each
    std::vector<ChannelSpec> channels;
    std::vector<EventSite> events;
    /// Tasks keep the values of the loops around them, for errors.
    bool keeps_indices = false;
    int window = 8192;
    std::optional<TaskRules> rules;         ///< none: ready tasks start as workers come to them
    std::optional<WindowRule> window_rule;  ///< besides `window`
};

/// A loop whose iterations are proven independent, or a wavefront; runs with no tracking, in chunks
/// or blocks over workers.
/// When an iteration fails, what it would still have done is lost and the others run.
struct StaticLoop {
    abi::LoopFn function = nullptr;
    int64_t iterations = 0;
    int64_t tasks_per_iteration = 1;  ///< -1: the loop counts them, see pto_wsp_count_task
    std::string name;
    Loc at;
    int iterations_binding = -1;  ///< index of the number of iterations in a run's bindings
    /// The loops that the index runs over, outermost first; the last one goes fastest.
    struct Loop {
        std::string name;
        int64_t size = 0;
    };
    std::vector<Loop> loops = {};
    /// Above `most_lost` iterations of one that are lost, all of this loop are.
    std::vector<LoopNeed> needs = {};
    static constexpr size_t most_lost = 4096;
    /// The loop calls pto_wsp_count_task behind each task, though their number is known: its
    /// iterations may take long, and then a run is cancelled between two tasks of one.
    bool counts_tasks = false;
    /// The index runs over (any, rows, columns), both at least 1 and `iterations` a multiple of
    /// their product. Iteration (p, r, c) is no longer independent: it needs (p, r - 1, c) and
    /// (p, r, c - 1), runs after both, and is lost with either.
    struct Wavefront {
        int64_t rows = 1;
        int64_t columns = 1;
    };
    std::optional<Wavefront> wavefront = {};
};

/// Loops that are independent of one another and run together.
using Phase = std::vector<StaticLoop>;

/// What a program does when it is executed: phases one after another, or a dynamic graph.
using Plan = std::variant<std::vector<Phase>, DynamicGraph>;

/// What one run of a program did.
struct RunStats {
    int64_t tasks = 0;   ///< kernels run to their end (joins do not count)
    int64_t failed = 0;  ///< tasks that failed
    /// Tasks that did not run because they were lost or the run was cancelled. Of a static loop the
    /// rest of a failed iteration counts too; loops whose iterations differ are counted without it.
    /// Tasks that nobody came to submit are not counted.
    int64_t skipped = 0;
    bool cancelled = false;  ///< tasks did not run because the run was cancelled
    /// Of these, run while at least one other task was running, of this run or another. Counted
    /// without cost per task: a chunk of a static loop counts as a whole, and a worker that goes
    /// from one task at once to the next counts as running in between.
    int64_t parallel_tasks = 0;
    double execute_ms = 0;       ///< from start to the end of the last task
    int64_t steals = 0;          ///< times that a worker took work from another's deque
    int64_t window_stalls = 0;   ///< times that a WindowRule for benchmarks made submission wait
    int64_t most_in_flight = 0;  ///< most weight that such a rule saw in flight
    struct Worker {
        int64_t tasks = 0;
        int64_t steals = 0;
        /// Time in which it went from task to task, of this run or another.
        double busy_ms = 0;
    };
    std::vector<Worker> workers;
};

/// Failures that a run remembers in full; of further ones it knows the number.
inline constexpr size_t most_failures = 1024;

/// A task that failed, or what failed while tasks were made.
struct Failure {
    TaskFailure what;  ///< with indices where the graph keeps them
    /// Of a dynamic graph: the number of the task in program order, from 0 on; joins do not count.
    /// -1: not a task.
    int64_t task = -1;
    int loop = -1;           ///< of a static plan: its loop, counted over all phases
    int64_t iteration = -1;  ///< and its iteration in there
};

/// One run of a plan.
class Execution {
public:
    virtual ~Execution() = default;
    /// True when all tasks have ended (also when some failed).
    virtual bool is_complete() const = 0;
    /// Waits until complete or the timeout has passed; false on timeout. Does not throw.
    virtual bool wait(std::optional<std::chrono::nanoseconds> timeout) = 0;
    /// What failed, in program order; of more than `most_failures` those that were first in time.
    virtual std::vector<Failure> failures() const = 0;
    /// How many failed, remembered or not.
    virtual int64_t failure_count() const = 0;
    /// Throws a KernelError of all failures, the first in program order first. Else a
    /// CancelledError when tasks did not run because the run was cancelled.
    virtual void rethrow() const = 0;
    virtual RunStats stats() const = 0;
    /// Asks tasks that have not started not to start. What has ended stays as it is.
    virtual void cancel() = 0;
    /// Says that no thread of the user's will signal, for a thread that is alone and about to wait:
    /// if the run waits for such a thread right now, it ends with a ChannelError.
    virtual void forsake() {}
    /// Calls `then` once, when all tasks have ended: on the calling thread when that is so already,
    /// else on that of a worker. It must not block or throw.
    virtual void when_complete(std::function<void()> then) = 0;
};

/// Counts the forks that lie between this process and the first: runs that were started under
/// another count are not of this process and never end in it.
int fork_count();

/// Workers with work-stealing deques (Chase and Lev 2005; memory orders after Le et al. 2013).
/// Threads belong to it alone; kernels are serial inside a task. They block signals, which are for
/// the user's threads. Threads do not survive a fork: in the child `shared()` is a new executor,
/// and `start` of one that was made before is an ExecutionError.
class Executor {
public:
    /// Starts `workers` threads, 1...1024; 0 takes `env::workers()`. ExecutionError for another
    /// number or when a thread cannot be started.
    explicit Executor(int workers = 0);
    /// Finishes what was started, then ends the threads.
    ~Executor();
    Executor(const Executor &) = delete;
    Executor &operator=(const Executor &) = delete;

    int workers() const;
    /// Returns at once; from any thread. `plan` and `bindings` are kept alive until the end of the
    /// run, and the last reference to the plan may be dropped by a worker; several runs may be in
    /// flight. `observer`, where there is one, is told about the run. InternalError when a dynamic
    /// graph is not consistent.
    std::shared_ptr<Execution> start(std::shared_ptr<const Plan> plan,
                                     std::vector<int64_t> bindings,
                                     std::shared_ptr<Observer> observer = nullptr);

    /// Cancels all runs in flight and waits until they have ended; false on timeout. For the end of
    /// a process, before what tasks work on goes away.
    bool cancel_all(std::optional<std::chrono::nanoseconds> timeout);

    /// The process's executor, started at first use and never destroyed. At the exit of the process
    /// its runs are cancelled and waited for (some seconds at most), before objects go that were
    /// there at its first use.
    static Executor &shared();

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace pto::wsp::runtime
