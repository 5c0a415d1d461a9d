#include "runtime/interleavings.h"

#include <bit>
#include <csetjmp>
#include <ucontext.h>

namespace pto::wsp::runtime::testing {

namespace {

constexpr size_t stack_bytes = size_t(128) << 10;

/// A thread of a scenario: a fiber, so that a run costs no system calls but at its beginning.
struct Fiber {
    std::vector<char> stack = std::vector<char>(stack_bytes);
    std::function<void()> *body = nullptr;
    std::jmp_buf place;
    bool started = false;
    bool ended = false;
    const void *blocked_on = nullptr;
    // The operation that it stands before.
    const void *what = nullptr;
    bool writes = false;
};

/// A decision: which thread goes on.
struct Choice {
    int chosen;
    uint32_t able;
    uint32_t asleep;  ///< threads whose turn here leads to nothing new
};

class Explorer {
public:
    void before(const void *what, bool writes) {
        if (running_ == nullptr) {
            return;  // the scenario is being made or checked
        }
        running_->what = what;
        running_->writes = writes;
        leave();
    }
    void block(const void *what) {
        running_->blocked_on = what;
        leave();
    }
    void notify(const void *what, bool all) {
        for (auto &fiber : fibers_) {
            if (fiber->blocked_on == what) {
                fiber->blocked_on = nullptr;
                if (!all) {
                    return;
                }
            }
        }
    }

    Exploration explore(const std::function<std::shared_ptr<Scenario>()> &make, int64_t most_runs,
                        int most_preemptions);

    static Explorer *current;

private:
    void run(Scenario &scenario, Exploration &result);
    void step(Fiber &fiber);
    void leave() {
        // As whoever resumes it expects.
        if (_setjmp(running_->place) == 0) {
            _longjmp(home_, 1);
        }
    }
    static void enter();
    bool next_path();
    uint32_t able() const;
    uint32_t allowed(uint32_t able, int last, int preemptions) const;
    void fail(Exploration &result, const std::string &text) const;

    std::vector<std::unique_ptr<Fiber>> fibers_;
    Fiber *running_ = nullptr;
    std::jmp_buf home_;
    std::vector<Choice> path_;
    int most_preemptions_ = -1;
};

Explorer *Explorer::current = nullptr;

void Explorer::enter() {
    Fiber &fiber = *current->running_;
    (*fiber.body)();
    fiber.ended = true;
    _longjmp(current->home_, 1);
}

void Explorer::step(Fiber &fiber) {
    running_ = &fiber;
    if (_setjmp(home_) == 0) {
        if (fiber.started) {
            _longjmp(fiber.place, 1);
        }
        fiber.started = true;
        ucontext_t context;
        getcontext(&context);
        context.uc_stack.ss_sp = fiber.stack.data();
        context.uc_stack.ss_size = fiber.stack.size();
        context.uc_link = nullptr;
        makecontext(&context, &Explorer::enter, 0);
        setcontext(&context);
    }
    running_ = nullptr;
}

uint32_t Explorer::able() const {
    uint32_t able = 0;
    for (size_t i = 0; i < fibers_.size(); i++) {
        if (!fibers_[i]->ended && fibers_[i]->blocked_on == nullptr) {
            able |= uint32_t(1) << i;
        }
    }
    return able;
}

uint32_t Explorer::allowed(uint32_t able, int last, int preemptions) const {
    if (most_preemptions_ >= 0 && preemptions == most_preemptions_ && last >= 0 &&
        (able >> last & 1) != 0) {
        return uint32_t(1) << last;
    }
    return able;
}

void Explorer::fail(Exploration &result, const std::string &text) const {
    result.failure = text + "; threads in turn:";
    for (const Choice &choice : path_) {
        result.failure += ' ' + std::to_string(choice.chosen);
    }
}

void Explorer::run(Scenario &scenario, Exploration &result) {
    while (fibers_.size() < scenario.threads.size()) {
        fibers_.push_back(std::make_unique<Fiber>());
    }
    fibers_.resize(scenario.threads.size());
    for (size_t i = 0; i < fibers_.size(); i++) {
        Fiber &fiber = *fibers_[i];
        fiber.body = &scenario.threads[i];
        fiber.started = fiber.ended = false;
        fiber.blocked_on = nullptr;
        // To its first operation.
        step(fiber);
    }
    uint32_t asleep = 0;
    int last = -1;
    int preemptions = 0;
    for (size_t depth = 0;; depth++) {
        const uint32_t able_now = able();
        if (able_now == 0) {
            break;
        }
        if (depth == path_.size()) {
            const uint32_t open = allowed(able_now, last, preemptions) & ~asleep;
            if (open == 0) {
                // Another order of what has been seen.
                return;
            }
            // The thread that ran before goes on first, which finds short failures.
            const bool same = last >= 0 && (open >> last & 1) != 0;
            path_.push_back({same ? last : std::countr_zero(open),
                             allowed(able_now, last, preemptions), asleep});
        }
        const Choice &choice = path_[depth];
        Fiber &chosen = *fibers_[static_cast<size_t>(choice.chosen)];
        asleep = 0;
        for (size_t i = 0; i < fibers_.size() && most_preemptions_ < 0; i++) {
            const Fiber &other = *fibers_[i];
            const bool independent = other.what != chosen.what || (!other.writes && !chosen.writes);
            if ((choice.asleep >> i & 1) != 0 && independent) {
                asleep |= uint32_t(1) << i;
            }
        }
        preemptions += last >= 0 && last != choice.chosen && (able_now >> last & 1) != 0 ? 1 : 0;
        last = choice.chosen;
        step(chosen);
    }
    result.runs++;
    bool all_ended = true;
    for (const auto &fiber : fibers_) {
        all_ended = all_ended && fiber->ended;
    }
    const std::string wrong = scenario.check(all_ended);
    if (!wrong.empty()) {
        fail(result, wrong);
    }
}

/// The next path in depth-first order; false after the last.
bool Explorer::next_path() {
    while (!path_.empty()) {
        Choice &choice = path_.back();
        choice.asleep |= uint32_t(1) << choice.chosen;
        const uint32_t open = choice.able & ~choice.asleep;
        if (open != 0) {
            choice.chosen = std::countr_zero(open);
            return true;
        }
        path_.pop_back();
    }
    return false;
}

Exploration Explorer::explore(const std::function<std::shared_ptr<Scenario>()> &make,
                              int64_t most_runs, int most_preemptions) {
    most_preemptions_ = most_preemptions;
    Exploration result;
    do {
        if (result.runs >= most_runs) {
            result.stopped_early = true;
            return result;
        }
        const std::shared_ptr<Scenario> scenario = make();
        run(*scenario, result);
    } while (result.failure.empty() && next_path());
    return result;
}

}  // namespace

namespace stepping {

void before(const void *what, bool writes) {
    if (Explorer::current != nullptr) {
        Explorer::current->before(what, writes);
    }
}

void block(const void *what) {
    Explorer::current->block(what);
}

void notify(const void *what, bool all) {
    Explorer::current->notify(what, all);
}

}  // namespace stepping

Exploration explore(const std::function<std::shared_ptr<Scenario>()> &make, int64_t most_runs,
                    int most_preemptions) {
    Explorer explorer;
    Explorer::current = &explorer;
    Exploration result = explorer.explore(make, most_runs, most_preemptions);
    Explorer::current = nullptr;
    return result;
}

bool can_explore() {
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
    return false;
#else
    return true;
#endif
}

}  // namespace pto::wsp::runtime::testing
