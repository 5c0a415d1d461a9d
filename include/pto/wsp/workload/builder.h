#pragma once

#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "pto/wsp/workload/workload.h"

namespace pto::wsp::workload {

/// An argument as a user writes it.
struct Argument {
    std::string name;  ///< of the parameter; empty: by position
    std::variant<Region, ScalarExpr, double, uint64_t> value;
    Loc at;
};

/// Builds a workload statement by statement; what `@workload` with `P` in Python and the C++ front
/// door call. Statements one after another in a body form an unordered group: they are ordered by
/// the data they touch.
class Builder {
public:
    enum class OnError {
        Throw,    ///< a call that does not fit throws
        Collect,  ///< it is left out and kept in `Workload::type_errors`
    };

    explicit Builder(std::string name, Loc at = Loc::here(), OnError on_error = OnError::Throw);
    ~Builder();
    Builder(Builder &&) noexcept;
    Builder &operator=(Builder &&) noexcept;

    /// In which order the iterations of a loop run.
    struct Order {
        bool sequential = false;
        int64_t depth = 0;  ///< at most that many at a time; 0: any number

        Order(bool sequential = false, int64_t depth = 0)  // NOLINT: in order or not
            : sequential(sequential), depth(depth) {}
    };

    /// Opens `P(axis)`, `P.seq(axis)` or `P.pipe(axis, depth)` and returns the id of its variable,
    /// by which Affine and ScalarExpr name it. `names` are the user's, best first; the id is made
    /// from the first one. The kernel whose last subscript it is and the next of the letters b h s
    /// d i j k l m n are added behind them, unless another loop around has that name. CompileError
    /// for a negative size, a negative depth, and a size that uses a variable of no loop around.
    std::string open_loop(Order order, Axis axis, std::vector<std::string> names = {},
                          Loc at = Loc::here());
    /// Opens `P.sel(axis)`: the variable's values are those of `table` from place `first` on, as
    /// many as the axis has. CompileError as of `open_loop`.
    std::string open_selected(Axis axis, const std::string &table, ScalarExpr first,
                              std::vector<std::string> names = {}, Loc at = Loc::here());
    /// A loop variable that does not count from 0.
    struct RangeVariable {
        std::string id;
        Affine index;  ///< the same, by which dependences are known: affine in a counter
    };
    /// Opens a loop over start, start + step, ..., as many as the axis has. CompileError as of
    /// `open_loop`.
    RangeVariable open_range(Order order, Axis axis, const Affine &start, int64_t step,
                             std::vector<std::string> names = {}, Loc at = Loc::here());
    /// Opens `P.when(predicate)`. CompileError as of `open_loop`.
    void open_when(ScalarExpr predicate, Loc at = Loc::here());
    /// Opens `P.otherwise()`, which closes the chain of the `when`s right before it. CompileError
    /// when there is none.
    void open_otherwise(Loc at = Loc::here());
    /// `expr` as an index. What is not affine in it becomes a variable with that value, the same
    /// one for the same expression, which each task that uses it has around itself:
    /// `X[lengths[b]]`.
    Affine index_of(const ScalarExpr &expr, const Loc &at = Loc::here());
    /// An index as an expression over variables of loops alone: those of `index_of` are replaced by
    /// their values.
    ScalarExpr expression_of(const Affine &index) const;
    /// Opens `combine(...)` or `sequential(...)`.
    void open_group(bool sequential, Loc at = Loc::here());
    /// Opens `P.pipe()`: statements that send or consume are processes, one each. CompileError when
    /// it is closed, has such statements and stands in a loop, branch or process.
    void open_scope(Loc at = Loc::here());
    /// Opens a process of a net; processes one after another are of one net. CompileError in a
    /// loop, branch or process.
    void open_process(std::string name, std::vector<ChannelPtr> consumes,
                      std::vector<ChannelPtr> produces, Loc at = Loc::here());
    /// Whether to wait for room.
    enum class Sending { Waits, Tries };
    /// Sends the last statement, which must be a kernel call. Gives the slot in which the result of
    /// a try is, or -1. CompileError when it is something else.
    int send_last(const ChannelPtr &channel, Sending how, Loc at = Loc::here());
    /// Opens `send(channel, ...)`, whose body must be a kernel call; gives what `send_last` gives.
    /// Closed without a statement, because the call did not fit, it is gone.
    int open_send(const ChannelPtr &channel, Sending how, Loc at = Loc::here());
    /// In a `send`: the tile of payload `number` that is sent. TypeCheckError when its type is not
    /// that of other payloads of the channel, or not known.
    Region sent_payload(size_t number, const kernel::TileType &type, const std::string &name,
                        const Loc &at = Loc::here());
    /// Opens `consume(channels)` and gives the id of its token's number, by which the functions
    /// below know the token. CompileError for no channel and for one named twice.
    std::string open_consume(std::vector<ChannelPtr> channels, Loc at = Loc::here());
    /// The id of the variable with value `number` of a token that is consumed. CompileError outside
    /// of the `consume`.
    std::string token_value(const std::string &token, size_t number, std::vector<std::string> names,
                            const Loc &at = Loc::here());
    /// The id of the variable that says from which of the channels it is.
    std::string token_channel(const std::string &token, const Loc &at = Loc::here());
    /// The tile of payload `number`. TypeCheckError of a `consume` of several channels, and for a
    /// payload that is not known and of which `type` says nothing.
    Region token_payload(const std::string &token, size_t number,
                         const std::optional<kernel::TileType> &type, const std::string &name,
                         const Loc &at = Loc::here());
    /// `channel.close()`.
    void close_channel(const ChannelPtr &channel, Loc at = Loc::here());
    /// Tasks of the workload so far; each has the number of those before it as its mark.
    int tasks() const;
    /// `record(event)`, or `record(event, after=)` of the tasks with these marks.
    void record(const EventPtr &event, std::optional<std::vector<int>> after = {},
                std::optional<double> timeout_s = {}, Loc at = Loc::here());
    /// `synchronize(event)`.
    void synchronize(const EventPtr &event, std::optional<double> timeout_s = {},
                     Loc at = Loc::here());
    /// Opens the body of a workload that is called inside this one.
    void open_call(std::string name, Loc at = Loc::here());
    /// How many statements the body that is open has.
    size_t statements() const;
    /// Takes these statements of the open body, by number, into a group in this order, where the
    /// first of them was. CompileError for one that is not there or is named twice.
    void gather(const std::vector<size_t> &numbers, bool sequential, Loc at = Loc::here());
    /// Closes what was opened last; CompileError when nothing is open.
    void close(Loc at = Loc::here());
    /// What is open.
    int depth() const;

    /// The value that a symbol has unless a run is given another.
    void set_symbol(const std::string &name, int64_t value);
    /// The same of a table.
    void set_table(const std::string &name, RunData::Values values);

    /// Names of symbols and tables that are called otherwise here.
    struct Renamed {
        std::map<std::string, std::string> symbols;
        std::map<std::string, std::string> tables;
    };
    /// A workload that is already built, as a call; its loop variables get new ids, symbols and
    /// tables new names where others with other values have theirs.
    Renamed include(const Workload &workload, Loc at = Loc::here());

    /// `kernel[axes](arguments)`. TypeCheckError at the user's line when an argument is missing,
    /// not known, of another shape or dtype than the parameter, partial but not declared so, or
    /// when its region leaves the tensor for some values of the loop variables.
    void task(KernelPtr kernel, std::vector<ScalarExpr> axes, std::vector<Argument> arguments,
              Loc at = Loc::here());

    /// `slot_set_u64(slot, value)`. CompileError for a slot outside 0...255, TypeCheckError for an
    /// expression with unknown variables.
    void set_slot(int64_t slot, ScalarExpr value, Loc at = Loc::here());
    /// `slot_load_u64(slot, element)`: TypeCheckError unless `element` is one element of an integer
    /// tensor inside its bounds.
    void load_slot(int64_t slot, const Region &element, Loc at = Loc::here());

    /// Ends; the builder is empty afterwards. CompileError when something is still open.
    Workload finish();

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

/// Values of the Symbols in the dims of a task's kernel, from the extents of its regions.
/// TypeCheckError at `at` when they contradict each other or leave one open.
std::map<std::string, int64_t> task_symbols(const TaskNode &task, const Loc &at);

}  // namespace pto::wsp::workload
