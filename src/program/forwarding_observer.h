#pragma once

#include <memory>

#include "pto/wsp/runtime/observer.h"

namespace pto::wsp {

/// Tells another observer, where there is one, all that it is told.
class ForwardingObserver : public runtime::Observer {
public:
    explicit ForwardingObserver(std::shared_ptr<runtime::Observer> next) : next_(std::move(next)) {}

    runtime::Detail detail() const override {
        return next_ != nullptr ? next_->detail() : runtime::Detail::Work;
    }
    void began(int worker, const runtime::Work &work) override {
        if (next_ != nullptr) {
            next_->began(worker, work);
        }
    }
    void ended(int worker, const runtime::Work &work, int64_t tasks, abi::Status status) override {
        if (next_ != nullptr) {
            next_->ended(worker, work, tasks, status);
        }
    }
    void submitted(const runtime::Submitted &submitted) override {
        if (next_ != nullptr) {
            next_->submitted(submitted);
        }
    }
    void depends(int64_t before, int64_t after) override {
        if (next_ != nullptr) {
            next_->depends(before, after);
        }
    }
    void sent(int channel, int64_t token, int process) override {
        if (next_ != nullptr) {
            next_->sent(channel, token, process);
        }
    }
    void received(int channel, int64_t token, int process) override {
        if (next_ != nullptr) {
            next_->received(channel, token, process);
        }
    }
    void step_began(int worker) override {
        if (next_ != nullptr) {
            next_->step_began(worker);
        }
    }
    void step_ended(int worker) override {
        if (next_ != nullptr) {
            next_->step_ended(worker);
        }
    }
    void run_ended() override {
        if (next_ != nullptr) {
            next_->run_ended();
        }
    }

private:
    std::shared_ptr<runtime::Observer> next_;
};

}  // namespace pto::wsp
