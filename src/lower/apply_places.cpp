#include "step_applier.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "pto/wsp/support/error.h"
#include "pto/wsp/support/text.h"

namespace pto::wsp::lower {

void Applier::require_inner(const Scheduled &target) const {
    if (target.is_root()) {
        refuse(
            fmt::format("'{}' writes the kernel's result; it is always at the root", target.name));
    }
}

void Applier::compute_func_at(Halide::Func func, const Halide::Func &consumer, const Loop &loop) {
    if (loop.reduction) {
        func.compute_at(consumer, loop.var.rvar);
    } else {
        func.compute_at(consumer, loop.var.var);
    }
}

void Applier::compute_at(Scheduled &target) {
    require_inner(target);
    Scheduled &consumer = find(text("consumer"));
    loop_index(consumer, text("dim"));
    if (!reaches(consumer.name, target.name)) {
        refuse(fmt::format("'{}' does not read '{}'", consumer.name, target.name),
               "legal: " + join(locations(target.name)));
    }
    target.computed_at = consumer.name;
    target.computed_dim = text("dim");
    target.placed_by = step_;
}

void Applier::place(Scheduled &target) {
    Scheduled &consumer = find(target.computed_at);
    size_t at = loop_index(consumer, target.computed_dim);
    bool inlined = consumer.computed_at.empty() && !consumer.is_root() && !consumer.updates();
    if (inlined) {
        refuse(fmt::format("'{}' has no loops: it is computed where it is used", consumer.name),
               fmt::format("place '{}' by compute_root or compute_at", consumer.name));
    }
    if (target.outline != nullptr && !target.staged) {
        for (const std::string &reader : readers(target.name)) {
            if (level(reader, consumer.name) < static_cast<int>(at)) {
                refuse(fmt::format("'{}' reads it outside of '{}.{}'", reader, consumer.name,
                                   target.computed_dim),
                       "legal: compute_root, or " + join(locations(reader)));
            }
        }
    }
    compute_func_at(target.func, consumer.func, consumer.loops[at]);
}

int Applier::level(const std::string &func, const std::string &consumer) const {
    if (func == consumer) {
        return std::numeric_limits<int>::max();
    }
    const Scheduled &scheduled = funcs_.at(func);
    if (scheduled.computed_at == "root" || scheduled.is_root()) {
        return -1;
    }
    if (scheduled.computed_at == consumer) {
        return static_cast<int>(loop_index(funcs_.at(consumer), scheduled.computed_dim));
    }
    if (!scheduled.computed_at.empty()) {
        return level(scheduled.computed_at, consumer);
    }
    int least = std::numeric_limits<int>::max();
    for (const std::string &reader : readers(func)) {
        least = std::min(least, level(reader, consumer));
    }
    return least;
}

std::vector<std::string> Applier::readers(const std::string &func) const {
    std::vector<std::string> result;
    for (const auto &[name, scheduled] : funcs_) {
        if (scheduled.outline != nullptr) {
            const std::vector<std::string> &reads = scheduled.outline->reads;
            if (std::find(reads.begin(), reads.end(), func) != reads.end()) {
                result.push_back(name);
            }
        }
    }
    return result;
}

bool Applier::reaches(const std::string &consumer, const std::string &producer) const {
    auto it = funcs_.find(consumer);
    if (it == funcs_.end() || it->second.outline == nullptr) {
        return true;
    }
    if (producer == consumer + ".partial") {
        return true;
    }
    const std::vector<std::string> &reads = it->second.outline->reads;
    return std::any_of(reads.begin(), reads.end(), [&](const std::string &read) {
        return read == producer || producer == read + ".staged" || reaches(read, producer);
    });
}

std::vector<std::string> Applier::locations(const std::string &producer) const {
    std::vector<std::string> result;
    for (const auto &[name, scheduled] : funcs_) {
        if (name != producer && scheduled.outline != nullptr && reaches(name, producer)) {
            for (const Loop &loop : scheduled.loops) {
                result.push_back(name + "." + loop.name);
            }
        }
    }
    return result;
}

void Applier::compute_root(Scheduled &target) {
    require_inner(target);
    target.func.compute_root();
    target.computed_at = "root";
    target.placed_by = nullptr;
}

void Applier::store_in(Scheduled &target) {
    require_inner(target);
    std::string memory = text("memory");
    if (memory == "heap") {
        target.func.store_in(Halide::MemoryType::Heap);
    } else if (memory == "stack") {
        target.func.store_in(Halide::MemoryType::Stack);
    } else if (memory == "register") {
        target.func.store_in(Halide::MemoryType::Register);
    } else {
        refuse(fmt::format("unknown memory '{}'", memory), "memories: heap, stack, register");
    }
}

void Applier::stage(Scheduled &target) {
    require_inner(target);
    Scheduled &consumer = find(text("consumer"));
    if (!reaches(consumer.name, target.name)) {
        refuse(fmt::format("'{}' does not read '{}'", consumer.name, target.name),
               "legal: " + join(locations(target.name)));
    }
    Scheduled copy;
    copy.name = target.name + ".staged";
    if (funcs_.count(copy.name) > 0) {
        refuse(fmt::format("'{}' is staged already", target.name));
    }
    copy.func = target.func.in(consumer.func);
    copy.loops = {{"rows", Halide::Var("rows")}, {"columns", Halide::Var("columns")}};
    if (text("dim") == "root") {
        copy.func.compute_root();
        copy.computed_at = "root";
    } else {
        loop_index(consumer, text("dim"));
        copy.computed_at = consumer.name;
        copy.computed_dim = text("dim");
        copy.placed_by = step_;
    }
    target.staged = true;
    funcs_.emplace(copy.name, copy);
}

}  // namespace pto::wsp::lower
