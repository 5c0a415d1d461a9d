#include "pto/wsp/support/printing.h"

#include <atomic>
#include <cstdio>

namespace pto::wsp {

namespace {

// Written before programs run, read by workers: a pointer without anything behind it.
std::atomic<PrintSink> current{nullptr};

}  // namespace

void set_print_sink(PrintSink sink) {
    current.store(sink, std::memory_order_relaxed);
}

void print_text(std::string_view text) {
    if (PrintSink sink = current.load(std::memory_order_relaxed)) {
        sink(text);
        return;
    }
    // One call is one lock of the stream.
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
}

}  // namespace pto::wsp
