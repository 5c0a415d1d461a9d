#include "pto/wsp/support/error.h"

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

InternalError::InternalError(const std::string &pass, const std::string &text, Loc at)
    : PtoError(std::move(at), "internal error in " + pass + ": " + text, {},
               "this is a fault of pto_wsp and not of your program: please report it together with "
               "the program that shows it") {}

}  // namespace pto::wsp
