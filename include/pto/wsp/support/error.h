#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "pto/wsp/support/loc.h"

namespace pto::wsp {

/// A second place that explains an error: where an operand was made, where an axis was declared.
struct Note {
    Loc at;
    std::string text;
};

/// Base of all errors. `what()` reads
/// `file.py:41: error: matmul: inner dimensions differ: [128, 64] x [256, 64]`, then a line
/// `file.py:38: note: ...` for each note, then `hint: ...`. Texts are lower case, hold the actual
/// and the expected values, and have no final period. Without a known location the line starts at
/// `error:`.
class PtoError : public std::runtime_error {
public:
    PtoError(Loc at, std::string text, std::vector<Note> notes = {}, std::string hint = "");

    const Loc &at() const { return at_; }
    /// The first line without location and `error:`.
    const std::string &text() const { return text_; }
    const std::vector<Note> &notes() const { return notes_; }
    const std::string &hint() const { return hint_; }

private:
    Loc at_;
    std::string text_;
    std::vector<Note> notes_;
    std::string hint_;
};

/// The user's program is wrong; found while it is built or compiled.
class CompileError : public PtoError {
    using PtoError::PtoError;
};
/// A shape, dtype, direction or bound does not fit.
class TypeCheckError : public CompileError {
    using CompileError::CompileError;
};
/// A text or structure is not valid IR.
class IRConversionError : public CompileError {
    using CompileError::CompileError;
};
/// A schedule step is not legal here.
class ScheduleError : public PtoError {
    using PtoError::PtoError;
};
/// Something failed while the program ran.
class ExecutionError : public PtoError {
    using PtoError::PtoError;
};
/// The timeout of an event passed in a run.
class EventTimeoutError : public ExecutionError {
    using ExecutionError::ExecutionError;
};
/// A run was cancelled before all of its tasks had run.
class CancelledError : public ExecutionError {
    using ExecutionError::ExecutionError;
};

/// One of the tasks that failed in a run.
struct TaskFailure {
    Loc at;
    std::string kernel;  ///< empty where what makes tasks failed
    std::string text;
    /// Its loop variables, outermost first; empty where they are not known.
    std::vector<std::pair<std::string, int64_t>> indices;

    /// `text` with the loop variables behind the kernel's name: `kernel scale[b=1, h=3]: ...`.
    std::string str() const;
};

/// Kernels of tasks failed.
class KernelError : public ExecutionError {
public:
    using ExecutionError::ExecutionError;
    /// The first of `failures`, with a note for each of some others; `total` is how many there were
    /// in all.
    KernelError(std::vector<TaskFailure> failures, int64_t total);

    const std::vector<TaskFailure> &failures() const { return failures_; }

private:
    std::vector<TaskFailure> failures_;
};

/// A channel was used in a way that it does not allow, or processes wait for each other for ever.
class ChannelError : public PtoError {
    using PtoError::PtoError;
};
/// Nothing more goes through this channel.
class ChannelClosed : public ChannelError {
    using ChannelError::ChannelError;
};
/// The channel has no room for another token.
class ChannelFull : public ChannelError {
    using ChannelError::ChannelError;
};
/// Our own fault: names the pass and asks for a report.
class InternalError : public PtoError {
public:
    InternalError(const std::string &pass, const std::string &text, Loc at = Loc::here());
};

}  // namespace pto::wsp
