#include "pto/wsp/runtime/signal.h"

#include <algorithm>

#include "runtime/wait_until.h"

namespace pto::wsp::runtime {

namespace {

/// Of who is stalled, and for what.
std::mutex stalls;

}  // namespace

void SignalUser::wake() {
    const std::lock_guard lock(mutex_);
    if (wake_) {
        wake_();
    }
}

void SignalUser::leave() {
    {
        const std::lock_guard lock(stalls);
        waits_for_.clear();
        stalled_.store(false, std::memory_order_relaxed);
    }
    const std::lock_guard lock(mutex_);
    wake_ = nullptr;
}

/// Whether somebody of the other side is there, who is told so.
bool Signal::finds(Side side) {
    if (side == Side::Synchronize && offers_ > 0) {
        offers_--;
        return true;
    }
    Group &other = others(side);
    if (other.waiting == 0) {
        return false;
    }
    other.waiting--;
    other.grants++;
    return true;
}

/// Wakes all who wait, and unlocks.
void Signal::tell_change(std::unique_lock<std::mutex> &lock) {
    changed_.notify_all();
    std::vector<std::shared_ptr<SignalUser>> users;
    for (const Use *use : uses_) {
        if (use->waits_ > 0) {
            use->user_->stalled_.store(false, std::memory_order_relaxed);
            users.push_back(use->user_);
        }
    }
    lock.unlock();
    for (const std::shared_ptr<SignalUser> &user : users) {
        user->wake();
    }
}

/// Who waits has one less to count on.
void Signal::tell_stall(const SignalUser *but) {
    std::vector<std::shared_ptr<SignalUser>> users;
    {
        const std::lock_guard lock(mutex_);
        changed_.notify_all();
        for (const Use *use : uses_) {
            if (use->waits_ > 0 && use->user_.get() != but) {
                users.push_back(use->user_);
            }
        }
    }
    for (const std::shared_ptr<SignalUser> &user : users) {
        user->wake();
    }
}

bool Signal::meet(Side side, const Timeout &timeout) {
    std::unique_lock lock(mutex_);
    if (finds(side)) {
        tell_change(lock);
        return true;
    }
    Group &group = mine(side);
    group.waiting++;
    if (wait_until(changed_, lock, timeout, [&] { return group.grants > 0; })) {
        group.grants--;
        return true;
    }
    group.waiting--;
    return false;
}

bool Signal::record(const Timeout &timeout) {
    if (depth_ == 0) {
        return meet(Side::Record, timeout);
    }
    std::unique_lock lock(mutex_);
    is_recorded_ = true;
    tell_change(lock);
    return true;
}

bool Signal::synchronize(const Timeout &timeout) {
    if (depth_ == 0) {
        return meet(Side::Synchronize, timeout);
    }
    std::unique_lock lock(mutex_);
    return wait_until(changed_, lock, timeout, [&] { return is_recorded_; });
}

bool Signal::query() const {
    const std::lock_guard lock(mutex_);
    return depth_ > 0 ? is_recorded_ : offers_ > 0 || records_.waiting > 0;
}

void Signal::expect() {
    const std::lock_guard lock(mutex_);
    expected_++;
    is_recorded_ = false;
}

void Signal::arrive() {
    std::unique_lock lock(mutex_);
    expected_--;
    if (depth_ > 0) {
        is_recorded_ = is_recorded_ || expected_ == 0;
    } else if (!finds(Side::Record)) {
        offers_++;
    }
    tell_change(lock);
}

/// Whether somebody may signal, or wait for a signal, who is not among `seen`.
bool Signal::is_helped(bool forsaken, std::set<const SignalUser *> &seen) const {
    std::vector<std::shared_ptr<SignalUser>> stalled;
    {
        const std::lock_guard lock(mutex_);
        if (expected_ > 0 || (!forsaken && (handles_ > 0 || plans_ > 1))) {
            return true;
        }
        for (const Use *use : uses_) {
            if (seen.insert(use->user_.get()).second) {
                if (!use->user_->is_stalled()) {
                    return true;
                }
                stalled.push_back(use->user_);
            }
        }
    }
    return std::ranges::any_of(stalled, [&](const std::shared_ptr<SignalUser> &user) {
        return std::ranges::any_of(user->waits_for_, [&](const Signal *signal) {
            return signal->is_helped(forsaken, seen);
        });
    });
}

bool Signal::is_pending() const {
    const std::lock_guard lock(stalls);
    std::set<const SignalUser *> seen;
    return is_helped(true, seen);
}

bool Signal::stall(SignalUser &user, const std::vector<Wait *> &waits, bool forsaken) {
    const std::lock_guard lock(stalls);
    user.waits_for_.clear();
    for (const Wait *wait : waits) {
        user.waits_for_.push_back(&wait->use().signal());
    }
    user.stalled_.store(true, std::memory_order_relaxed);
    bool over = false;
    for (Wait *wait : waits) {
        over = wait->is_over() || over;
    }
    if (over) {
        user.stalled_.store(false, std::memory_order_relaxed);
        return true;
    }
    std::set<const SignalUser *> seen{&user};
    return std::ranges::any_of(
        user.waits_for_, [&](const Signal *signal) { return signal->is_helped(forsaken, seen); });
}

struct Signal::Hold {
    const std::shared_ptr<Signal> signal;
    int64_t Signal::*const count;

    Hold(std::shared_ptr<Signal> held, int64_t Signal::*counted)
        : signal(std::move(held)), count(counted) {
        const std::lock_guard lock(signal->mutex_);
        ((*signal).*count)++;
    }
    ~Hold() {
        {
            const std::lock_guard lock(signal->mutex_);
            ((*signal).*count)--;
        }
        signal->tell_stall(nullptr);
    }
};

std::shared_ptr<void> Signal::hold(const std::shared_ptr<Signal> &self) {
    return std::make_shared<Hold>(self, &Signal::handles_);
}

std::shared_ptr<Signal> Signal::for_plan(const std::shared_ptr<Signal> &self) {
    return {std::make_shared<Hold>(self, &Signal::plans_), self.get()};
}

Signal::Use::Use(std::shared_ptr<Signal> signal, bool records, std::shared_ptr<SignalUser> user)
    : signal_(std::move(signal)), records_(records), user_(std::move(user)) {
    const std::lock_guard lock(signal_->mutex_);
    signal_->uses_.push_back(this);
    signal_->is_recorded_ = signal_->is_recorded_ && !records_;
}

Signal::Use::~Use() {
    {
        std::unique_lock lock(signal_->mutex_);
        std::erase(signal_->uses_, this);
        const auto records = [](const Use *use) { return use->records_; };
        if (records_ && signal_->depth_ > 0 && signal_->expected_ == 0 &&
            std::ranges::none_of(signal_->uses_, records)) {
            signal_->is_recorded_ = true;
            signal_->tell_change(lock);
        }
    }
    signal_->tell_stall(user_.get());
}

Signal::Wait::Wait(Use &use, Side side) : use_(use), side_(side) {
    const std::lock_guard lock(use_.signal_->mutex_);
    use_.waits_++;
}

Signal::Wait::~Wait() {
    Signal &signal = *use_.signal_;
    const std::lock_guard lock(signal.mutex_);
    use_.waits_--;
    if (waits_) {
        Group &group = signal.mine(side_);
        (group.grants > 0 ? group.grants : group.waiting)--;
    }
}

bool Signal::Wait::is_over() {
    Signal &signal = *use_.signal_;
    std::unique_lock lock(signal.mutex_);
    if (over_) {
        return true;
    }
    if (signal.depth_ > 0) {
        over_ = side_ == Side::Synchronize ? signal.is_recorded_ : true;
        return over_;
    }
    Group &group = signal.mine(side_);
    if (!waits_) {
        if (signal.finds(side_)) {
            over_ = true;
            signal.tell_change(lock);
            return true;
        }
        group.waiting++;
        waits_ = true;
    } else if (group.grants > 0) {
        group.grants--;
        waits_ = false;
        over_ = true;
    }
    return over_;
}

}  // namespace pto::wsp::runtime
