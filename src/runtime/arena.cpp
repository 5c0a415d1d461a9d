#include "pto/wsp/runtime/arena.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>

#include "pto/wsp/core/abi.h"
#include "pto/wsp/support/log.h"

namespace pto::wsp::runtime {

namespace {

constexpr size_t alignment = 64;
constexpr size_t mapped_from_bytes = size_t(1) << 20;
/// Four classes evenly from one power of two to the next.
constexpr size_t steps_per_doubling = 4;
constexpr size_t most_bytes = size_t(1) << 46;
constexpr size_t class_count = 40 * steps_per_doubling;

/// In front of each block's memory.
struct alignas(alignment) Block {
    size_t size_class;
    uint64_t serial;  ///< of the allocation, grows
    Block *newer;     ///< in the list of blocks in use
    Block *older;     ///< there, or the next free block
};
static_assert(sizeof(Block) == alignment);

constexpr size_t class_of(size_t bytes) {
    size_t units = (std::max<size_t>(bytes, 1) + alignment - 1) / alignment;
    if (units <= steps_per_doubling) {
        return units - 1;
    }
    auto doublings = static_cast<size_t>(std::bit_width(units - 1)) - 3;
    return doublings * steps_per_doubling + ((units - 1) >> doublings);
}

/// Largest block of a class; the inverse of class_of.
size_t class_bytes(size_t size_class) {
    if (size_class < steps_per_doubling) {
        return (size_class + 1) * alignment;
    }
    size_t doublings = size_class / steps_per_doubling - 1;
    size_t steps = size_class % steps_per_doubling + steps_per_doubling + 1;
    return (steps << doublings) * alignment;
}

std::atomic<int64_t> held_bytes = 0;
std::atomic<int64_t> high_water_bytes = 0;

void count_held(int64_t change) {
    int64_t held = held_bytes.fetch_add(change, std::memory_order_relaxed) + change;
    int64_t high = high_water_bytes.load(std::memory_order_relaxed);
    while (held > high && !high_water_bytes.compare_exchange_weak(high, held)) {
    }
}

Block *take_from_system(size_t size_class) {
    size_t bytes = class_bytes(size_class) + sizeof(Block);
    void *memory = nullptr;
    if (bytes >= mapped_from_bytes) {
        memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) {
            return nullptr;
        }
        // Only a hint: without huge pages the block works as well.
        (void)madvise(memory, bytes, MADV_HUGEPAGE);
    } else {
        memory = std::aligned_alloc(alignment, bytes);
        if (memory == nullptr) {
            return nullptr;
        }
    }
    count_held(static_cast<int64_t>(bytes));
    return static_cast<Block *>(memory);
}

void return_to_system(Block *block) {
    size_t bytes = class_bytes(block->size_class) + sizeof(Block);
    if (bytes >= mapped_from_bytes) {
        munmap(block, bytes);
    } else {
        std::free(block);
    }
    count_held(-static_cast<int64_t>(bytes));
}

static_assert(class_of(most_bytes) < class_count);

/// Where an error of generated code jumps to.
struct Guard {
    std::jmp_buf target;
    Guard *outer;
    uint64_t serial;  ///< of the last allocation before it
};

/// A thread's blocks and its innermost guard. Trivial, so that it outlives the thread's other
/// objects; `ArenaEnd` empties it.
struct Arena {
    std::array<Block *, class_count> free;
    Block *newest;  ///< of those in use
    uint64_t serial;
    Guard *guard;
    std::array<char, 1024> text;
    std::array<char, 512> file;  ///< of the user's line that the text is about
    int line;                    ///< 0: none
};

constinit thread_local Arena arena{};

struct ArenaEnd {
    ~ArenaEnd() {
        for (Block *&list : arena.free) {
            while (list != nullptr) {
                Block *block = list;
                list = block->older;
                return_to_system(block);
            }
        }
    }
    void touch() {}
};

thread_local ArenaEnd arena_end;

/// Leaves the innermost guard with `text`. Blocks that the failed code had taken go back.
[[noreturn]] void leave(const char *text) {
    Guard *guard = arena.guard;
    if (guard == nullptr) {
        log(LogLevel::Error, std::string("generated code failed outside of a task: ") + text);
        std::abort();
    }
    // The text may lie in a frame that is about to go.
    std::snprintf(arena.text.data(), arena.text.size(), "%s", text);
    while (arena.newest != nullptr && arena.newest->serial > guard->serial) {
        arena_free(arena.newest + 1);
    }
    arena.guard = guard->outer;
    std::longjmp(guard->target, 1);
}

}  // namespace

void *arena_allocate(size_t bytes) {
    size_t size_class = 0;
    Block *block = nullptr;
    if (bytes <= most_bytes) {
        size_class = class_of(bytes);
        block = arena.free[size_class];
        if (block != nullptr) {
            arena.free[size_class] = block->older;
        } else {
            arena_end.touch();
            block = take_from_system(size_class);
        }
    }
    if (block == nullptr) {
        std::array<char, 96> text{};
        std::snprintf(text.data(), text.size(), "out of memory: %zu bytes of scratch asked for",
                      bytes);
        leave(text.data());
    }
    block->size_class = size_class;
    block->serial = ++arena.serial;
    block->newer = nullptr;
    block->older = arena.newest;
    if (arena.newest != nullptr) {
        arena.newest->newer = block;
    }
    arena.newest = block;
    return block + 1;
}

void arena_free(void *memory) {
    if (memory == nullptr) {
        return;
    }
    Block *block = static_cast<Block *>(memory) - 1;
    (block->newer != nullptr ? block->newer->older : arena.newest) = block->older;
    if (block->older != nullptr) {
        block->older->newer = block->newer;
    }
    block->older = arena.free[block->size_class];
    arena.free[block->size_class] = block;
}

int64_t arena_high_water_bytes() {
    return high_water_bytes.load(std::memory_order_relaxed);
}

void leave_at(const char *file, int line, const char *text) {
    std::snprintf(arena.file.data(), arena.file.size(), "%s", file);
    arena.line = line;
    leave(text);
}

std::optional<Loc> take_failure_place() {
    const int line = std::exchange(arena.line, 0);
    return line > 0 ? std::optional<Loc>(Loc{arena.file.data(), line}) : std::nullopt;
}

int guarded_call(int (*call)(void *closure), void *closure, const char **text) {
    Guard guard;
    guard.outer = arena.guard;
    guard.serial = arena.serial;
    arena.guard = &guard;
    // The form that leaves the signal mask alone, which would cost a system call.
    if (_setjmp(guard.target) != 0) {
        *text = arena.text.data();
        return -1;
    }
    int status = call(closure);
    arena.guard = guard.outer;
    return status;
}

}  // namespace pto::wsp::runtime

void *halide_malloc(void * /*user_context*/, size_t bytes) {
    return pto::wsp::runtime::arena_allocate(bytes);
}

void halide_free(void * /*user_context*/, void *memory) {
    pto::wsp::runtime::arena_free(memory);
}

void halide_error(void * /*user_context*/, const char *text) {
    pto::wsp::runtime::leave(text);
}
