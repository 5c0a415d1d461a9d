#include <map>

#include "pto/wsp/support/error.h"
#include "task_code.h"

namespace pto::wsp::lower {

using namespace Halide::Internal;
using Halide::Expr;
using Halide::Handle;
using Halide::Int;
using workload::LoopVar;
using workload::TrackedSite;
using workload::TrackedStep;

namespace {

/// The words of the expander's frame: the place, the number of the next task, for each loop its
/// counter (or value) and, where the run decides it, its size, and the slots.
class FrameLayout {
public:
    explicit FrameLayout(const workload::TrackedPlan &plan) {
        add(plan.program);
        first_slot_ = words_;
        words_ += slot_words;
    }

    static constexpr int place = 0;
    static constexpr int number = 1;
    int counter(const LoopVar *loop) const { return counters_.at(loop); }
    const std::map<const LoopVar *, int> &counters() const { return counters_; }
    int size(const LoopVar *loop) const { return sizes_.at(loop); }
    int first_slot() const { return first_slot_; }
    int words() const { return words_; }

private:
    void add(const std::vector<TrackedStep> &steps) {
        for (const TrackedStep &step : steps) {
            if (step.loop != nullptr) {
                counters_.emplace(step.loop, words_++);
                if (!step.loop->axis.constant()) {
                    sizes_.emplace(step.loop, words_++);
                }
                add(step.body);
            }
            for (const std::vector<TrackedStep> &each : step.cases) {
                add(each);
            }
        }
    }

    std::map<const LoopVar *, int> counters_;
    std::map<const LoopVar *, int> sizes_;
    int first_slot_ = 0;
    int words_ = 2;
};

/// The tracked program as numbered places, each with what it does and which place comes next. A
/// loop of a size that the run decides, a variable with a value and a branch have places of their
/// own; loops that surely run have none.
class Places {
public:
    Places(const workload::TrackedPlan &plan, const FrameLayout &frame, const LoopWriter &writer)
        : plan_(plan), frame_(frame), writer_(writer) {
        walk(plan.program, set_word("frame", FrameLayout::place, i64(-1)));
    }

    const std::vector<Stmt> &places() const { return places_; }

private:
    static Stmt go(size_t place) {
        return set_word("frame", FrameLayout::place, i64(static_cast<int64_t>(place)));
    }

    static bool has_entry(const LoopVar &loop) { return loop.value || !loop.axis.constant(); }

    static size_t count(const std::vector<TrackedStep> &steps) {
        size_t result = 0;
        for (const TrackedStep &step : steps) {
            result += count(step);
        }
        return result;
    }

    static size_t count(const TrackedStep &step) {
        if (step.loop != nullptr) {
            return count(step.body) + (has_entry(*step.loop) ? 1 : 0);
        }
        size_t result = 1;
        for (const std::vector<TrackedStep> &each : step.cases) {
            result += count(each);
        }
        return result;
    }

    /// Adds a place; what it does finds the variables of the loops around.
    void add(Stmt code) {
        for (size_t i = path_.size(); i-- > 0;) {
            code = LetStmt::make(path_[i]->id, word("frame", frame_.counter(path_[i])), code);
        }
        places_.push_back(std::move(code));
    }

    /// Numbers the places of `steps`; `after` is what follows the last one.
    void walk(const std::vector<TrackedStep> &steps, const Stmt &after) {
        for (size_t i = 0; i < steps.size(); ++i) {
            const TrackedStep &step = steps[i];
            const bool last = i + 1 == steps.size();
            const Stmt then = last ? after : go(places_.size() + count(step));
            if (step.loop != nullptr) {
                walk_loop(step, then);
            } else if (step.branch != nullptr) {
                walk_branch(step, then);
            } else {
                add(site(plan_.sites[static_cast<size_t>(step.site)], step.site, then));
            }
        }
    }

    void walk_loop(const TrackedStep &step, const Stmt &then) {
        const LoopVar &loop = *step.loop;
        const int counter = frame_.counter(&loop);
        const size_t first = places_.size() + (has_entry(loop) ? 1 : 0);
        if (loop.value) {
            add(Block::make(set_word("frame", counter, writer_.scalar(*loop.value)), go(first)));
            path_.push_back(&loop);
            walk(step.body, then);
            path_.pop_back();
            return;
        }
        Expr size;
        if (const auto constant = loop.axis.constant()) {
            size = i64(*constant);
        } else {
            const int place = frame_.size(&loop);
            Stmt begin = Block::make({set_word("frame", place, variable("size$")),
                                      set_word("frame", counter, i64(0)),
                                      IfThenElse::make(variable("size$") > 0, go(first), then)});
            add(LetStmt::make("size$", writer_.size_of(loop), begin));
            size = word("frame", place);
        }
        Stmt again = Block::make(set_word("frame", counter, variable("count$")), go(first));
        Stmt leave = Block::make(set_word("frame", counter, i64(0)), then);
        Stmt end = LetStmt::make("count$", word("frame", counter) + 1,
                                 IfThenElse::make(variable("count$") < size, again, leave));
        path_.push_back(&loop);
        walk(step.body, end);
        path_.pop_back();
    }

    void walk_branch(const TrackedStep &step, const Stmt &then) {
        size_t first = places_.size() + 1;
        std::vector<Stmt> entries;
        for (const std::vector<TrackedStep> &each : step.cases) {
            entries.push_back(each.empty() ? then : go(first));
            first += count(each);
        }
        Stmt choice = entries.back();
        for (size_t i = step.branch->cases.size(); i-- > 0;) {
            choice = IfThenElse::make(writer_.scalar(step.branch->cases[i].predicate) != 0,
                                      entries[i], choice);
        }
        add(choice);
        for (const std::vector<TrackedStep> &each : step.cases) {
            walk(each, then);
        }
    }

    static Expr packed(std::vector<Expr> words) {
        if (words.empty()) {
            words.push_back(i64(0));
        }
        return Call::make(Handle(), Call::make_struct, words, Call::Intrinsic);
    }

    Expr hashed(const TrackedSite::Hash &hash) const {
        Expr value = i64(static_cast<int64_t>(workload::hash_keys({})));
        for (const ScalarExpr &key : hash.keys) {
            value = Call::make(Int(64), "pto_wsp_hash", {value, writer_.scalar(key)}, Call::Extern);
        }
        const auto whole = [](const Expr &word) { return reinterpret(Halide::UInt(64), word); };
        return Halide::cast<int64_t>(whole(value) % whole(writer_.scalar(hash.count)));
    }

    /// What a task is submitted with: its arguments, then its rank and its pool, where they count.
    std::vector<Expr> slots(const TrackedSite &place) const {
        std::vector<Expr> words = writer_.slots(*place.task);
        for (const std::optional<ScalarExpr> &word : {place.rank, place.pool}) {
            if (word) {
                words.push_back(writer_.scalar(*word));
            }
        }
        return words;
    }

    Expr cells(const TrackedSite &place) const {
        std::vector<Expr> cells;
        for (const workload::CellAccess &access : place.accesses) {
            cells.push_back(writer_.scalar(access.first));
        }
        return packed(std::move(cells));
    }

    Stmt site(const TrackedSite &place, int number, const Stmt &then) const {
        if (place.slot != nullptr) {
            return fill_slot(place, number, then);
        }
        Expr worker =
            place.worker ? Halide::cast<int32_t>(writer_.scalar(*place.worker)) : Expr(-1);
        std::vector<Expr> arguments{
            Variable::make(Handle(), "graph"), number,
            packed(place.task != nullptr ? slots(place) : std::vector<Expr>{}), cells(place),
            worker};
        Stmt submit =
            Evaluate::make(Call::make(Int(32), "pto_wsp_submit", arguments, Call::Extern));
        if (place.task == nullptr) {
            return Block::make(submit, then);
        }
        const Expr next = word("frame", FrameLayout::number);
        Stmt all = Block::make({submit, set_word("frame", FrameLayout::number, next + 1), then});
        for (const TrackedSite::Hash &hash : place.hashes) {
            all = LetStmt::make(hash.variable, hashed(hash), all);
        }
        all = writer_.checked(place.task->checks, all);
        return LetStmt::make(workload::number_variable, next, all);
    }

    Stmt fill_slot(const TrackedSite &place, int number, const Stmt &then) const {
        const workload::SlotNode &slot = *place.slot;
        const int to = frame_.first_slot() + slot.slot;
        if (const auto *value = std::get_if<ScalarExpr>(&slot.value)) {
            return writer_.checked(
                slot.checks, Block::make(set_word("frame", to, writer_.scalar(*value)), then));
        }
        const auto &region = std::get<workload::Region>(slot.value);
        Expr element = Call::make(Int(64), "pto_wsp_tensor_element",
                                  {reinterpret(Handle(), writer_.address(region)),
                                   static_cast<int32_t>(region.tensor->view.dtype)},
                                  Call::Extern);
        Expr ready =
            Call::make(Int(32), "pto_wsp_await",
                       {Variable::make(Handle(), "graph"), number, cells(place)}, Call::Extern);
        // Not ready: the place stays, and the next step comes to it again.
        Stmt load = IfThenElse::make(ready != 0, Block::make(set_word("frame", to, element), then));
        return writer_.checked(slot.checks, load);
    }

    const workload::TrackedPlan &plan_;
    const FrameLayout &frame_;
    const LoopWriter &writer_;
    std::vector<const LoopVar *> path_;
    std::vector<Stmt> places_;
};

}  // namespace

LoweredFunc expander(const workload::TrackedPlan &plan, const TaskLoops &loops) {
    const FrameLayout frame(plan);
    const LoopWriter writer(loops, frame.first_slot());
    const Places places(plan, frame, writer);
    // 32 bits wide, because Halide makes a switch of these comparisons and its cases are of 32
    // bits.
    Expr place_number = Variable::make(Int(32), "place$");
    Stmt step;
    for (size_t p = places.places().size(); p-- > 0;) {
        step = IfThenElse::make(place_number == static_cast<int>(p), places.places()[p], step);
    }
    if (!step.defined()) {
        step = set_word("frame", FrameLayout::place, i64(-1));
    }
    step = LetStmt::make("place$", Halide::cast<int32_t>(word("frame", FrameLayout::place)), step);
    Stmt body = For::make("submitted$", 0, Variable::make(Int(32), "budget"), ForType::Serial,
                          Halide::Partition::Never, Halide::DeviceAPI::None, step);
    return LoopWriter::function(
        expand_symbol,
        {{"frame", Handle()}, {"graph", Handle()}, {"bindings", Handle()}, {"budget", Int(32)}},
        body);
}

int frame_words(const workload::TrackedPlan &plan) {
    return FrameLayout(plan).words();
}

std::map<const LoopVar *, int> loop_words(const workload::TrackedPlan &plan) {
    return FrameLayout(plan).counters();
}

}  // namespace pto::wsp::lower
