#include <algorithm>
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
/// counter (or value) and, where the run decides it, its size, for each `consume` its token, and
/// the slots.
class FrameLayout {
public:
    FrameLayout(const workload::TrackedPlan &plan, const std::vector<TrackedStep> &program)
        : plan_(plan) {
        add(program);
        first_slot_ = words_;
        words_ += slot_words;
    }

    static constexpr int place = 0;
    static constexpr int number = 1;
    int counter(const LoopVar *loop) const { return counters_.at(loop); }
    const std::map<const LoopVar *, int> &counters() const { return counters_; }
    int size(const LoopVar *loop) const { return sizes_.at(loop); }
    /// Of the token that a `consume` has: which channel, number, values.
    int token(const workload::ConsumeNode *consume) const { return counters_.at(&consume->which); }
    /// Words of that token: it may have more values than are used.
    int token_words(const TrackedStep &step) const {
        int values = static_cast<int>(step.consume->values.size());
        for (const int channel : step.channels) {
            values = std::max(values, plan_.channels[static_cast<size_t>(channel)].value_count);
        }
        return 2 + values;
    }
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
            } else if (step.send != nullptr) {
                counters_.emplace(&step.send->number, words_++);
            } else if (step.consume != nullptr) {
                counters_.emplace(&step.consume->which, words_);
                counters_.emplace(&step.consume->number, words_ + 1);
                for (size_t i = 0; i < step.consume->values.size(); ++i) {
                    counters_.emplace(&step.consume->values[i], words_ + 2 + static_cast<int>(i));
                }
                words_ += token_words(step);
            }
            add(step.body);
            for (const std::vector<TrackedStep> &each : step.cases) {
                add(each);
            }
        }
    }

    const workload::TrackedPlan &plan_;
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
    Places(const workload::TrackedPlan &plan, const std::vector<TrackedStep> &program,
           const FrameLayout &frame, const LoopWriter &writer)
        : plan_(plan), frame_(frame), writer_(writer) {
        walk(program, set_word("frame", FrameLayout::place, i64(-1)));
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
        size_t result = is_rendezvous(step) ? 2 : 1;
        result += step.send == nullptr ? count(step.body) : 0;
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
            } else if (step.send != nullptr) {
                walk_send(step, then);
            } else if (step.consume != nullptr) {
                walk_consume(step, then);
            } else if (step.close) {
                Stmt close = Evaluate::make(channel_call("pto_wsp_close", {step.channels.front()}));
                add(Block::make(close, then));
            } else if (step.first_process >= 0) {
                // The runtime's process 0 is the program itself.
                add(IfThenElse::make(channel_call("pto_wsp_run_processes",
                                                  {step.first_process + 1, step.process_count}) !=
                                         0,
                                     then));
            } else {
                add(site(plan_.sites[static_cast<size_t>(step.site)], step.site, then));
            }
        }
    }

    /// A function of the runtime that gets the graph.
    static Expr channel_call(const char *name, const std::vector<Expr> &arguments,
                             Halide::Type type = Int(32)) {
        std::vector<Expr> all{Variable::make(Handle(), "graph")};
        all.insert(all.end(), arguments.begin(), arguments.end());
        return Call::make(type, name, all, Call::Extern);
    }

    static bool is_rendezvous(const TrackedStep &step) {
        return step.send != nullptr && step.send->channel->depth == 0;
    }

    /// The site in the body of a `send`.
    static int sent_site(const std::vector<TrackedStep> &body) {
        return body.back().loop != nullptr ? sent_site(body.back().body) : body.back().site;
    }

    /// One place, so that no other process takes the room between: asks for it, submits the task
    /// and puts the token. At a rendezvous another one waits until the token is taken.
    void walk_send(const TrackedStep &step, const Stmt &then) {
        const workload::SendNode &send = *step.send;
        const Expr channel = step.channels.front();
        const bool waits = send.result < 0;
        const auto result = [&](int64_t value) {
            return set_word("frame", frame_.first_slot() + send.result, i64(value));
        };
        std::vector<Expr> values;
        for (const ScalarExpr &value : workload::token_values(send)) {
            values.push_back(writer_.scalar(value));
        }
        const auto words = static_cast<int>(values.size());
        Stmt end = Evaluate::make(
            channel_call("pto_wsp_send", {channel, packed(std::move(values)), words}));
        end = Block::make(end, is_rendezvous(step) ? go(places_.size() + 1) : then);
        end = waits ? end : Block::make(result(1), end);
        const Stmt sent =
            defined(send.number, channel_call("pto_wsp_next_token", {channel}, Int(64)),
                    sent_task(step.body, end));
        const Expr room = channel_call(waits ? "pto_wsp_may_send" : "pto_wsp_try_send",
                                       {channel, sent_site(step.body)});
        const Stmt otherwise = waits ? Stmt() : Block::make(result(0), then);
        add(IfThenElse::make(room != 0, sent, otherwise));
        if (is_rendezvous(step)) {
            add(IfThenElse::make(channel_call("pto_wsp_taken", {channel}) != 0, then));
        }
    }

    /// The task inside the variables with a value that it needs.
    Stmt sent_task(const std::vector<TrackedStep> &body, const Stmt &then) const {
        const TrackedStep &step = body.back();
        return step.loop != nullptr
                   ? defined(*step.loop, writer_.scalar(*step.loop->value),
                             sent_task(step.body, then))
                   : site(plan_.sites[static_cast<size_t>(step.site)], step.site, then);
    }

    /// `body` with a variable, in the frame too.
    Stmt defined(const LoopVar &variable_of, const Expr &value, const Stmt &body) const {
        const Stmt keep = set_word("frame", frame_.counter(&variable_of), variable(variable_of.id));
        return LetStmt::make(variable_of.id, value, Block::make(keep, body));
    }

    void walk_consume(const TrackedStep &step, const Stmt &then) {
        const workload::ConsumeNode &consume = *step.consume;
        const size_t place = places_.size();
        std::vector<Expr> channels;
        for (const int channel : step.channels) {
            channels.emplace_back(channel);
        }
        const auto count = static_cast<int>(channels.size());
        const int words = frame_.token_words(step);
        const Expr token = reinterpret(
            Handle(), reinterpret(Int(64), Variable::make(Handle(), "frame")) +
                          i64(static_cast<int64_t>(sizeof(int64_t)) * frame_.token(&consume)));
        const Expr taken = channel_call(
            "pto_wsp_receive", {Call::make(Handle(), Call::make_struct, channels, Call::Intrinsic),
                                count, token, words});
        const Expr got = Variable::make(Int(32), "got$");
        // 0: the place stays, and the next step comes to it again.
        const Stmt next = step.body.empty() ? go(place) : go(place + 1);
        add(LetStmt::make("got$", taken,
                          IfThenElse::make(got > 0, next, IfThenElse::make(got < 0, then))));
        const size_t outer = path_.size();
        path_.push_back(&consume.number);
        path_.push_back(&consume.which);
        for (const LoopVar &value : consume.values) {
            path_.push_back(&value);
        }
        walk(step.body, go(place));
        path_.resize(outer);
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
        if (place.event != nullptr && place.event->waits()) {
            return IfThenElse::make(channel_call("pto_wsp_meet", {number}) != 0, then);
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

LoweredFunc expander(const workload::TrackedPlan &plan, const std::vector<TrackedStep> &program,
                     const std::string &symbol, const TaskLoops &loops) {
    const FrameLayout frame(plan, program);
    const LoopWriter writer(loops, frame.first_slot());
    const Places places(plan, program, frame, writer);
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
        symbol,
        {{"frame", Handle()}, {"graph", Handle()}, {"bindings", Handle()}, {"budget", Int(32)}},
        body);
}

int frame_words(const workload::TrackedPlan &plan, const std::vector<TrackedStep> &program) {
    return FrameLayout(plan, program).words();
}

std::map<const LoopVar *, int> loop_words(const workload::TrackedPlan &plan) {
    std::map<const LoopVar *, int> words = FrameLayout(plan, plan.program).counters();
    for (const workload::TrackedProcess &process : plan.processes) {
        const FrameLayout frame(plan, process.program);
        words.insert(frame.counters().begin(), frame.counters().end());
    }
    return words;
}

}  // namespace pto::wsp::lower
