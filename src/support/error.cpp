#include "pto/wsp/support/error.h"

#include <algorithm>

namespace pto::wsp {

namespace {

std::string message(const Loc &at, const char *kind, const std::string &text) {
    return (at.known() ? at.str() + ": " : std::string()) + kind + ": " + text;
}

std::string full_message(const Loc &at, const std::string &text, const std::vector<Note> &notes,
                         const std::string &hint) {
    std::string all = message(at, "error", text);
    for (const Note &note : notes) {
        all += "\n" + message(note.at, "note", note.text);
    }
    if (!hint.empty()) {
        all += "\nhint: " + hint;
    }
    return all;
}

}  // namespace

PtoError::PtoError(Loc at, std::string text, std::vector<Note> notes, std::string hint)
    : std::runtime_error(full_message(at, text, notes, hint)), at_(std::move(at)),
      text_(std::move(text)), notes_(std::move(notes)), hint_(std::move(hint)) {}

std::string TaskFailure::str() const {
    const std::string start = "kernel " + kernel;
    if (indices.empty() || kernel.empty() || text.compare(0, start.size(), start) != 0) {
        return text;
    }
    std::string values;
    for (const auto &[name, value] : indices) {
        values += (values.empty() ? "" : ", ") + name + "=" + std::to_string(value);
    }
    return start + "[" + values + "]" + text.substr(start.size());
}

namespace {

std::string first_text(const std::vector<TaskFailure> &failures, int64_t total) {
    const std::string more =
        total > 1 ? " (and " + std::to_string(total - 1) + " more)" : std::string();
    return failures.front().str() + more;
}

std::vector<Note> other_texts(const std::vector<TaskFailure> &failures) {
    constexpr size_t most_texts = 16;
    std::vector<Note> notes;
    for (size_t i = 1; i < std::min(failures.size(), most_texts); i++) {
        notes.push_back({failures[i].at, failures[i].str()});
    }
    return notes;
}

}  // namespace

KernelError::KernelError(std::vector<TaskFailure> failures, int64_t total)
    : ExecutionError(failures.front().at, first_text(failures, total), other_texts(failures)),
      failures_(std::move(failures)) {}

InternalError::InternalError(const std::string &pass, const std::string &text, Loc at)
    : PtoError(std::move(at), "internal error in " + pass + ": " + text, {},
               "this is a fault of pto_wsp and not of your program: please report it together with "
               "the program that shows it") {}

}  // namespace pto::wsp
