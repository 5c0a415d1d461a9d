#pragma once

#include <cstddef>
#include <cstdint>

namespace pto::wsp::runtime {

/// Scratch memory of the calling thread: blocks by size class, kept for the next task.
void *arena_allocate(size_t bytes);
void arena_free(void *memory);
/// Largest number of bytes that this process's arenas had in use at a time.
int64_t arena_high_water_bytes();

/// Runs `function(slots)`-like code so that `halide_error` or exhausted memory inside it ends it
/// with a text instead of the process. Returns the function's status; on an error, -1 and `*text`.
/// Generated code has no destructors, so leaving it by a long jump is sound.
int guarded_call(int (*call)(void *closure), void *closure, const char **text);

}  // namespace pto::wsp::runtime
