#pragma once

#include <string_view>

namespace pto::wsp {

/// Takes one text that a kernel prints: whole lines, to be written at once. Called from any worker,
/// also from several at a time.
using PrintSink = void (*)(std::string_view text);

/// Sends what kernels print to `sink`; null: to standard output, one write and a flush for each
/// text, which is where it goes at first.
void set_print_sink(PrintSink sink);

/// Writes `text` to the sink.
void print_text(std::string_view text);

}  // namespace pto::wsp
