#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "pto/wsp/support/error.h"

namespace pto::wsp::runtime {

/// Scratch memory of the calling thread, 64-byte aligned: blocks by size class, kept for the next
/// task. A thread keeps at most twice what it lately had in use at a time, plus 32 MiB; the rest,
/// and all at its end, goes back to the system. Large blocks are of huge pages where the system
/// has them. Never null: see halide_malloc. Freed by the thread that allocated. Built with
/// AddressSanitizer, what is not allocated cannot be touched.
void *arena_allocate(size_t bytes);
/// Null is allowed.
void arena_free(void *memory);

/// Of the arenas of all threads of this process.
struct ArenaStats {
    int64_t held_bytes = 0;        ///< in use or kept for reuse
    int64_t high_water_bytes = 0;  ///< the most that were held at a time
    int64_t huge_page_bytes = 0;   ///< of those held: in blocks for which huge pages were granted
};
ArenaStats arena_stats();

/// Leaves the innermost guard with `text`, which is about the user's line.
[[noreturn]] void leave_at(const char *file, int line, const char *text);
/// The user's line that the calling thread's last error of generated code is about, where it said
/// one; once.
std::optional<Loc> take_failure_place();

/// Runs `function(slots)`-like code so that `halide_error` or exhausted memory inside it ends it
/// with a text instead of the process. Returns the function's status; on an error, -1 and `*text`,
/// which is valid until the thread's next error. Calls may be nested. Scratch memory that the
/// failed code had allocated is taken back. Generated code has no destructors, so leaving it by a
/// long jump is sound.
int guarded_call(int (*call)(void *closure), void *closure, const char **text);

}  // namespace pto::wsp::runtime
