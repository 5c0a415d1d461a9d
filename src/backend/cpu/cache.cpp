#include "pto/wsp/backend/cpu/cache.h"

#include <future>
#include <map>
#include <mutex>
#include <utility>

#include <fmt/format.h>

#include "backend/cpu/cache_directory.h"
#include "pto/wsp/lower/lower.h"
#include "pto/wsp/support/env.h"
#include "pto/wsp/support/log.h"

namespace pto::wsp::backend::cpu {
namespace {

constexpr size_t most_reasons = 1024;

}  // namespace

struct ObjectCache::Impl {
    /// A key's place in this process: being loaded, loaded, or no longer loaded.
    struct Slot {
        std::shared_future<std::shared_ptr<LoadedObject>> pending;
        std::weak_ptr<LoadedObject> loaded;
    };

    Impl(std::string path, int64_t bound_bytes) : directory(std::move(path), bound_bytes) {}

    std::string get(const Hash128 &key, const std::function<std::string()> &generate,
                    const std::string &name, bool *hit);
    void store(const Hash128 &key, const std::string &object, const std::string &name);
    void count_hit();
    void note(const std::string &name, std::string text);
    void forget_unloaded();

    CacheDirectory directory;
    std::mutex mutex;  ///< of everything below
    CacheStats stats;
    bool warned = false;
    std::map<Hash128, Slot> slots;
    size_t slots_to_keep = 64;
};

void ObjectCache::Impl::count_hit() {
    const std::lock_guard lock(mutex);
    ++stats.hits;
}

/// With `mutex` held.
void ObjectCache::Impl::note(const std::string &name, std::string text) {
    if (stats.reasons.size() == most_reasons) {
        stats.reasons.erase(stats.reasons.begin());
    }
    stats.reasons.push_back({.subject = fmt::format("cached object of {}", name),
                             .happened = false,
                             .text = std::move(text),
                             .at = {}});
}

std::string ObjectCache::Impl::get(const Hash128 &key, const std::function<std::string()> &generate,
                                   const std::string &name, bool *hit) {
    CacheDirectory::Found found = directory.read(key);
    *hit = found.object.has_value();
    if (*hit) {
        count_hit();
        return *std::move(found.object);
    }
    {
        const std::lock_guard lock(mutex);
        ++stats.misses;
        stats.rebuilt += found.corrupt ? 1 : 0;
        note(name, std::move(found.reason));
    }
    std::string object = generate();
    store(key, object, name);
    return object;
}

void ObjectCache::Impl::store(const Hash128 &key, const std::string &object,
                              const std::string &name) {
    const std::string failure = directory.write(key, object);
    const int64_t evicted = failure.empty() ? directory.keep_bound() : 0;
    bool warn = false;
    {
        const std::lock_guard lock(mutex);
        stats.evicted += evicted;
        if (!failure.empty()) {
            note(name, fmt::format("not stored: {}", failure));
            warn = !std::exchange(warned, true);
        }
    }
    if (warn) {
        log(LogLevel::Warning,
            fmt::format("object cache cannot be written, every process compiles anew: {}",
                        failure));
    }
}

/// With `mutex` held.
void ObjectCache::Impl::forget_unloaded() {
    if (slots.size() < slots_to_keep) {
        return;
    }
    std::erase_if(slots, [](const auto &slot) {
        return !slot.second.pending.valid() && slot.second.loaded.expired();
    });
    slots_to_keep = 2 * slots.size() + 64;
}

ObjectCache::ObjectCache(std::string directory, int64_t bound_bytes)
    : impl_(std::make_shared<Impl>(std::move(directory), bound_bytes)) {}

std::string ObjectCache::get(const Hash128 &key, const std::function<std::string()> &generate) {
    bool hit = false;
    return impl_->get(key, generate, key.hex(), &hit);
}

std::shared_ptr<LoadedObject> ObjectCache::load(const Hash128 &key,
                                                const std::function<std::string()> &generate,
                                                const std::string &name, bool *hit,
                                                const Externals &externals) {
    bool spared = true;
    bool &generation_spared = hit == nullptr ? spared : *hit;
    generation_spared = true;
    std::promise<std::shared_ptr<LoadedObject>> promise;
    {
        std::unique_lock lock(impl_->mutex);
        impl_->forget_unloaded();
        Impl::Slot &slot = impl_->slots[key];
        if (auto loaded = slot.loaded.lock()) {
            ++impl_->stats.hits;
            return loaded;
        }
        if (slot.pending.valid()) {
            const auto pending = slot.pending;
            lock.unlock();
            auto loaded = pending.get();
            impl_->count_hit();
            return loaded;
        }
        slot.pending = promise.get_future().share();
    }
    try {
        auto loaded =
            load_object(impl_->get(key, generate, name, &generation_spared), name, externals);
        promise.set_value(loaded);
        const std::lock_guard lock(impl_->mutex);
        impl_->slots[key] = {.pending = {}, .loaded = loaded};
        return loaded;
    } catch (...) {
        promise.set_exception(std::current_exception());
        const std::lock_guard lock(impl_->mutex);
        impl_->slots.erase(key);
        throw;
    }
}

CacheStats ObjectCache::stats() const {
    const std::lock_guard lock(impl_->mutex);
    return impl_->stats;
}

const std::string &ObjectCache::directory() const {
    return impl_->directory.path();
}

ObjectCache &ObjectCache::shared() {
    // Never destroyed: threads may still compile while the process ends.
    static ObjectCache &cache = *new ObjectCache(env::cache_dir(), env::cache_bytes());
    return cache;
}

std::shared_ptr<LoadedObject> load_cached(const Hash128 &key,
                                          const std::function<lower::Module()> &lower,
                                          const std::string &name, bool *hit,
                                          const Externals &externals) {
    return ObjectCache::shared().load(
        key, [&] { return emit_object(lower()); }, name, hit, externals);
}

}  // namespace pto::wsp::backend::cpu
