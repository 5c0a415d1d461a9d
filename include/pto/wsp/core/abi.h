#pragma once

#include <cstddef>
#include <cstdint>

/// The binary interface between generated code and the runtime. Generated code is plain C: it
/// throws nothing and calls only the functions declared at the end.
///
/// A task's arguments are 64-bit slots in parameter order. A tile parameter takes `tile_slots`
/// slots: address of element (0, 0), row stride and column stride in elements, valid rows, valid
/// columns. A scalar takes one: integers sign- or zero-extended, f32 and f64 as their bits
/// zero-extended.
namespace pto::wsp::abi {

/// Slots that one tile argument takes.
inline constexpr int tile_slots = 5;

/// Result of generated functions: 0, or an error code that the runtime turns into a KernelError.
using Status = int32_t;

/// A kernel called with its slots in memory.
using KernelFn = Status (*)(const int64_t *slots);

/// Iterations [begin, end) of an independent loop, each of which is announced in the word of
/// `pto_wsp_progress` before it begins, so that the others can run when it fails. `bindings` holds
/// the address of each tensor (element [0, ..., 0]) by its index in the program, then the run-time
/// scalars: the number of workers, symbols, tables (address and number of elements), sizes of
/// loops.
using LoopFn = Status (*)(const int64_t *bindings, int64_t begin, int64_t end);

/// One step of a resumable expander, that is, of a process: submits at most `budget` tasks through
/// `pto_wsp_submit(graph, ...)` and returns with its counters in `frame`. `frame` starts as zeros;
/// `frame[0] == -1` means that the process has ended. Never blocks: where a function below says
/// that the process waits, its place stays in the frame and the next step, which comes when it is
/// worth while, asks again. Until the end of the step all of them then say so.
using ExpandFn = Status (*)(int64_t *frame, void *graph, const int64_t *bindings, int32_t budget);

}  // namespace pto::wsp::abi

/// Generated code finds these by name, also when they are inside a shared library.
#define PTO_WSP_ABI [[gnu::visibility("default")]]

extern "C" {

/// Submits the next task in program order: `site` is its index in `runtime::DynamicGraph::sites`,
/// `slots` its arguments (copied), `cells` for each access of the site the linear index of the
/// first cell in the access's grid (copied), `worker` the worker it is pinned to (taken modulo the
/// number of workers) or -1.
PTO_WSP_ABI void pto_wsp_submit(void *graph, int32_t site, const int64_t *slots,
                                const int64_t *cells, int32_t worker);

/// FNV-1a of 64 bits: `hash` continued by the 8 bytes of `value`, the lowest first.
PTO_WSP_ABI int64_t pto_wsp_hash(int64_t hash, int64_t value);
/// Of a slot's site: nonzero when all tasks that wrote its cells have ended. Otherwise the next
/// step of the expander comes after them.
PTO_WSP_ABI int32_t pto_wsp_await(void *graph, int32_t site, const int64_t *cells);

/// Starts processes [first, first + count) when called first. Nonzero when all of them have ended;
/// 0: the process waits here.
PTO_WSP_ABI int32_t pto_wsp_run_processes(void *graph, int32_t first, int32_t count);
/// Nonzero when the channel has room for a token, also when it is closed: then the run has failed
/// with ChannelClosed at the line of site `line_site`. 0: the process waits here. A send is
/// may_send, next_token, the submission of a task, send, and for depth 0 then taken.
PTO_WSP_ABI int32_t pto_wsp_may_send(void *graph, int32_t channel, int32_t line_site);
/// As may_send, but never waits. Nonzero when there really is room, that is, also the tasks of an
/// earlier token's body, whose slot this one gets, have ended; with depth 0, when moreover a
/// process waits for the token.
PTO_WSP_ABI int32_t pto_wsp_try_send(void *graph, int32_t channel, int32_t line_site);
/// The number of the channel's next token: from 0 on, ascending. `number mod slots` is its slot.
/// Numbers are consecutive when the channel has one receiver and is never tried.
PTO_WSP_ABI int64_t pto_wsp_next_token(void *graph, int32_t channel);
/// Puts the next token with its `count` values into the channel, after the task that makes what it
/// carries was submitted. Room was asked for before.
PTO_WSP_ABI void pto_wsp_send(void *graph, int32_t channel, const int64_t *values, int32_t count);
/// Nonzero when the token that the process sent last has been taken. 0: the process waits here.
PTO_WSP_ABI int32_t pto_wsp_taken(void *graph, int32_t channel);
/// Takes a token of one of `channels`: token[0] = which of them (0 ... count - 1), token[1] = its
/// number, then its values, in an array of `words`. 1: taken; 0: the process waits here; -1: all
/// are closed and empty. Of several it prefers one whose sent task has ended, then the one sent
/// first. Ends the bodies of the tokens that the process took from these channels before.
PTO_WSP_ABI int32_t pto_wsp_receive(void *graph, const int32_t *channels, int32_t count,
                                    int64_t *token, int32_t words);
/// Nonzero when the event of site `site` was met: recorded by somebody, or synchronized with where
/// the site records it, in that case after the tasks before it have ended. 0: the process waits
/// here.
PTO_WSP_ABI int32_t pto_wsp_meet(void *graph, int32_t site);
/// Nothing more is sent to the channel; what it holds can still be taken.
PTO_WSP_ABI void pto_wsp_close(void *graph, int32_t channel);

/// Element `index` of the table called `name`, which has `count`; ends the run with an error when
/// it has none there.
PTO_WSP_ABI int64_t pto_wsp_table_element(const int64_t *elements, int64_t count, int64_t index,
                                          const char *name);
/// The integer of `dtype` (a DType) at `element`; ends the run with an error past 2^63.
PTO_WSP_ABI int64_t pto_wsp_tensor_element(const void *element, int32_t dtype);
/// `value`; ends the run with an error when it is below 0.
PTO_WSP_ABI int64_t pto_wsp_checked_u64(int64_t value);
/// `value`; ends the run with an error when it is 0.
PTO_WSP_ABI int64_t pto_wsp_checked_divisor(int64_t value);
/// `count`; ends the run with an error outside 0...63.
PTO_WSP_ABI int64_t pto_wsp_checked_shift(int64_t count);
/// Ends the run with an error at the user's line: `text` is `value`, outside low ... high.
PTO_WSP_ABI void pto_wsp_out_of_range(const char *file, int32_t line, const char *text,
                                      int64_t value, int64_t low, int64_t high);
/// The calling thread's word for the iteration that a LoopFn begins.
PTO_WSP_ABI int64_t *pto_wsp_progress();
/// Counts a task of a static loop whose iterations do not all have as many, or may take long. Ends
/// the loop when its run was cancelled.
PTO_WSP_ABI void pto_wsp_count_task();

/// Scratch memory of a kernel, 64-byte aligned, from the calling thread's arena. Under Halide's
/// names, because its generated code calls them; `user_context` is ignored. Never returns null:
/// when memory is exhausted the task ends with an error, and outside of a task the process.
PTO_WSP_ABI void *halide_malloc(void *user_context, size_t bytes);
PTO_WSP_ABI void halide_free(void *user_context, void *memory);
/// Copies a tile of elements of `element_bytes`, whose strides are in elements, to rows without
/// gaps. A call that optimisers cannot see into, so that what follows never reads the original.
PTO_WSP_ABI void pto_wsp_copy_tile(void *to, const void *from, int64_t rows, int64_t columns,
                                   int64_t row_stride, int64_t column_stride,
                                   int64_t element_bytes);
/// Prints a tile of `dtype` (a DType) under `title`: rows of `columns` elements, `pitch` from row
/// to row. F16 and BF16 are float32 here, masks bytes.
PTO_WSP_ABI void pto_wsp_print_tile(const char *title, int32_t dtype, const void *data,
                                    int64_t rows, int64_t columns, int64_t pitch);
/// Ends the task with an error text.
PTO_WSP_ABI void halide_error(void *user_context, const char *text);
}
