#pragma once

#include <cstddef>
#include <cstdint>

namespace pto::wsp::runtime {

/// Scratch memory of the calling thread, 64-byte aligned: blocks by size class, kept for the next
/// task until the thread ends. Never null: see halide_malloc. Freed by the thread that allocated.
void *arena_allocate(size_t bytes);
/// Null is allowed.
void arena_free(void *memory);
/// Largest number of bytes that this process's arenas held at a time, in use or kept for reuse.
int64_t arena_high_water_bytes();

/// Runs `function(slots)`-like code so that `halide_error` or exhausted memory inside it ends it
/// with a text instead of the process. Returns the function's status; on an error, -1 and `*text`,
/// which is valid until the thread's next error. Calls may be nested. Scratch memory that the
/// failed code had allocated is taken back. Generated code has no destructors, so leaving it by a
/// long jump is sound.
int guarded_call(int (*call)(void *closure), void *closure, const char **text);

}  // namespace pto::wsp::runtime
