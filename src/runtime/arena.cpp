#include "pto/wsp/runtime/arena.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <utility>

#include "pto/wsp/core/abi.h"
#include "pto/wsp/support/log.h"

#if defined(__SANITIZE_ADDRESS__)
#define PTO_WSP_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PTO_WSP_ASAN 1
#endif
#endif
#ifdef PTO_WSP_ASAN
#include <sanitizer/asan_interface.h>
#define PTO_WSP_POISON(memory, bytes) ASAN_POISON_MEMORY_REGION(memory, bytes)
#define PTO_WSP_UNPOISON(memory, bytes) ASAN_UNPOISON_MEMORY_REGION(memory, bytes)
#else
#define PTO_WSP_POISON(memory, bytes)
#define PTO_WSP_UNPOISON(memory, bytes)
#endif

namespace pto::wsp::runtime {

namespace {

constexpr size_t alignment = 64;
constexpr size_t mapped_from_bytes = size_t(1) << 20;
constexpr size_t page_bytes = 4096;
constexpr size_t huge_page_bytes = size_t(2) << 20;
/// A thread may keep this much, and twice what it has had in use.
constexpr int64_t spare_bytes = int64_t(32) << 20;
/// Allocations after which what was in use before them is forgotten.
constexpr uint64_t allocations_per_period = 1024;
/// Four classes evenly from one power of two to the next.
constexpr size_t steps_per_doubling = 4;
constexpr size_t most_bytes = size_t(1) << 46;
constexpr size_t class_count = 40 * steps_per_doubling;

/// In front of each block's memory.
struct alignas(alignment) Block {
    size_t size_class;
    int64_t held;     ///< bytes, with this
    bool huge;        ///< of huge pages
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
std::atomic<int64_t> held_in_huge_pages = 0;

void count_held(int64_t change) {
    int64_t held = held_bytes.fetch_add(change, std::memory_order_relaxed) + change;
    int64_t high = high_water_bytes.load(std::memory_order_relaxed);
    while (held > high && !high_water_bytes.compare_exchange_weak(high, held)) {
    }
}

/// Whether the system gives huge pages to who asks for them.
bool grants_huge_pages() {
    static const bool grants = [] {
        std::ifstream setting("/sys/kernel/mm/transparent_hugepage/enabled");
        std::string text;
        return std::getline(setting, text) && text.find("[never]") == std::string::npos;
    }();
    return grants;
}

/// `bytes` of zeros that begin on a huge page where they are large enough for one, or null.
void *map(size_t bytes, bool *huge) {
    const size_t spare = bytes >= 2 * huge_page_bytes ? huge_page_bytes : 0;
    void *memory =
        mmap(nullptr, bytes + spare, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return nullptr;
    }
    auto *begin = static_cast<char *>(memory);
    if (spare > 0) {
        const size_t before = -reinterpret_cast<uintptr_t>(memory) % huge_page_bytes;
        if (before > 0) {
            munmap(begin, before);
        }
        begin += before;
        const size_t used = (bytes + page_bytes - 1) / page_bytes * page_bytes;
        if (used < bytes + spare - before) {
            munmap(begin + used, bytes + spare - before - used);
        }
    }
    // Without huge pages the block works as well.
    *huge = grants_huge_pages() && madvise(begin, bytes, MADV_HUGEPAGE) == 0;
    return begin;
}

Block *take_from_system(size_t size_class) {
    const size_t bytes = class_bytes(size_class) + sizeof(Block);
    bool huge = false;
    void *memory =
        bytes >= mapped_from_bytes ? map(bytes, &huge) : std::aligned_alloc(alignment, bytes);
    if (memory == nullptr) {
        return nullptr;
    }
    count_held(static_cast<int64_t>(bytes));
    held_in_huge_pages.fetch_add(huge ? static_cast<int64_t>(bytes) : 0, std::memory_order_relaxed);
    auto *block = static_cast<Block *>(memory);
    block->size_class = size_class;
    block->held = static_cast<int64_t>(bytes);
    block->huge = huge;
    PTO_WSP_POISON(block + 1, bytes - sizeof(Block));
    return block;
}

void return_to_system(Block *block) {
    const auto bytes = static_cast<size_t>(block->held);
    held_in_huge_pages.fetch_sub(block->huge ? static_cast<int64_t>(bytes) : 0,
                                 std::memory_order_relaxed);
    PTO_WSP_UNPOISON(block + 1, bytes - sizeof(Block));
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
    int64_t held;         ///< bytes of all blocks
    int64_t in_use;       ///< of those in use
    int64_t most;         ///< the most that were in use in this period
    int64_t most_before;  ///< and in the one before
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

/// Gives back free blocks, the largest first, that are more than a thread may keep.
void trim() {
    const int64_t limit = 2 * std::max(arena.most, arena.most_before) + spare_bytes;
    for (size_t size_class = class_count; arena.held > limit && size_class-- > 0;) {
        Block *&list = arena.free[size_class];
        while (list != nullptr && arena.held > limit) {
            Block *block = list;
            list = block->older;
            arena.held -= block->held;
            return_to_system(block);
        }
    }
}

/// A free block of the class or, as none may be there, of one up to twice as large; or null.
Block *take_free(size_t size_class) {
    const size_t last = std::min(size_class + steps_per_doubling, class_count - 1);
    for (size_t each = size_class; each <= last; each++) {
        if (Block *block = arena.free[each]) {
            arena.free[each] = block->older;
            return block;
        }
    }
    return nullptr;
}

void count_use(const Block &block) {
    arena.in_use += block.held;
    arena.most = std::max(arena.most, arena.in_use);
    if (++arena.serial % allocations_per_period == 0) {
        arena.most_before = arena.most;
        arena.most = arena.in_use;
        trim();
    }
}

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
    bool is_new = false;
    if (bytes <= most_bytes) {
        size_class = class_of(bytes);
        block = take_free(size_class);
        if (block == nullptr) {
            arena_end.touch();
            block = take_from_system(size_class);
            arena.held += block == nullptr ? 0 : block->held;
            is_new = true;
        }
    }
    if (block == nullptr) {
        std::array<char, 96> text{};
        std::snprintf(text.data(), text.size(), "out of memory: %zu bytes of scratch asked for",
                      bytes);
        leave(text.data());
    }
    count_use(*block);
    if (is_new) {
        trim();
    }
    block->serial = arena.serial;
    block->newer = nullptr;
    block->older = arena.newest;
    if (arena.newest != nullptr) {
        arena.newest->newer = block;
    }
    arena.newest = block;
    PTO_WSP_UNPOISON(block + 1, bytes);
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
    arena.in_use -= block->held;
    PTO_WSP_POISON(memory, class_bytes(block->size_class));
}

ArenaStats arena_stats() {
    return {held_bytes.load(std::memory_order_relaxed),
            high_water_bytes.load(std::memory_order_relaxed),
            held_in_huge_pages.load(std::memory_order_relaxed)};
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
