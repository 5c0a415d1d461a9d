#include <array>
#include <atomic>
#include <cinttypes>
#include <cstdio>
#include <utility>

#include "pto/wsp/core/abi.h"
#include "pto/wsp/core/tensor.h"
#include "pto/wsp/runtime/arena.h"
#include "runtime/task_counter.h"

namespace pto::wsp::runtime {

namespace {

using Text = std::array<char, 512>;

thread_local int64_t counted = 0;
thread_local int64_t progress = 0;
thread_local const std::atomic<bool> *is_cancelled = nullptr;
thread_local bool is_ended = false;

}  // namespace

int64_t counted_tasks() {
    return counted;
}

CancelPoint::CancelPoint(const std::atomic<bool> &flag) {
    is_cancelled = &flag;
    is_ended = false;
}

CancelPoint::~CancelPoint() {
    is_cancelled = nullptr;
}

bool CancelPoint::take_ended() {
    return std::exchange(is_ended, false);
}

}  // namespace pto::wsp::runtime

using pto::wsp::DType;
using pto::wsp::runtime::Text;

int64_t pto_wsp_hash(int64_t hash, int64_t value) {
    auto state = static_cast<uint64_t>(hash);
    for (int byte = 0; byte < 8; byte++) {
        state ^= (static_cast<uint64_t>(value) >> (8 * byte)) & 0xff;
        state *= 0x100000001b3ULL;
    }
    return static_cast<int64_t>(state);
}

int64_t pto_wsp_table_element(const int64_t *elements, int64_t count, int64_t index,
                              const char *name) {
    if (index < 0 || index >= count) {
        Text text{};
        std::snprintf(text.data(), text.size(),
                      "index %" PRId64 " of %s, which has %" PRId64 " values", index, name, count);
        halide_error(nullptr, text.data());
    }
    return elements[index];
}

int64_t pto_wsp_tensor_element(const void *element, int32_t dtype) {
    const auto type = static_cast<DType>(dtype);
    if (const std::optional<int64_t> value = pto::wsp::integer_at(element, type)) {
        return *value;
    }
    Text text{};
    if (type == DType::U64) {
        std::snprintf(text.data(), text.size(), "slot_load_u64: %" PRIu64 " passes 2^63",
                      *static_cast<const uint64_t *>(element));
    } else {
        std::snprintf(text.data(), text.size(), "slot_load_u64: the tensor holds no integers");
    }
    halide_error(nullptr, text.data());
    return 0;
}

int64_t pto_wsp_checked_u64(int64_t value) {
    if (value < 0) {
        Text text{};
        std::snprintf(text.data(), text.size(), "u64(%" PRId64 ") is below 0", value);
        halide_error(nullptr, text.data());
    }
    return value;
}

int64_t pto_wsp_checked_divisor(int64_t value) {
    if (value == 0) {
        halide_error(nullptr, "division by zero");
    }
    return value;
}

int64_t pto_wsp_checked_shift(int64_t count) {
    if (count < 0 || count > 63) {
        Text text{};
        std::snprintf(text.data(), text.size(), "shift by %" PRId64 ", allowed is 0...63", count);
        halide_error(nullptr, text.data());
    }
    return count;
}

void pto_wsp_out_of_range(const char *file, int32_t line, const char *text, int64_t value,
                          int64_t low, int64_t high) {
    std::array<char, 1024> full{};
    std::snprintf(full.data(), full.size(), "%s is %" PRId64 ", allowed is %" PRId64 "...%" PRId64,
                  text, value, low, high);
    pto::wsp::runtime::leave_at(file, line, full.data());
}

int64_t *pto_wsp_progress() {
    return &pto::wsp::runtime::progress;
}

void pto_wsp_count_task() {
    using namespace pto::wsp::runtime;
    counted++;
    if (is_cancelled != nullptr && is_cancelled->load(std::memory_order_relaxed)) {
        is_ended = true;
        halide_error(nullptr, "cancelled");
    }
}
