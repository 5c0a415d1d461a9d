// The libFuzzer program: `fuzz_readers --reader=tile_program CORPUS SEEDS -max_total_time=600`.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "fuzz/mutate.h"
#include "fuzz/readers.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

namespace {

const pto::wsp::fuzz::Reader *reader = nullptr;
constexpr unsigned of_words_in_8 = 5;

}  // namespace

extern "C" int LLVMFuzzerInitialize(int *argc, char ***argv) {
    constexpr std::string_view option = "--reader=";
    for (int i = 1; i < *argc; ++i) {
        std::string_view argument = (*argv)[i];
        if (argument.starts_with(option)) {
            reader = pto::wsp::fuzz::find_reader(argument.substr(option.size()));
        }
    }
    if (reader == nullptr) {
        std::fprintf(stderr, "give --reader=NAME of:");
        for (const pto::wsp::fuzz::Reader &each : pto::wsp::fuzz::readers()) {
            std::fprintf(stderr, " %s", each.name);
        }
        std::fprintf(stderr, "\n");
        std::exit(1);
    }
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    reader->check({reinterpret_cast<const char *>(data), size});
    return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
                                          unsigned seed) {
    if (seed % 8 >= of_words_in_8) {
        return LLVMFuzzerMutate(data, size, max_size);
    }
    static pto::wsp::fuzz::Mutator mutator(pto::wsp::fuzz::seeds_of(*reader), seed);
    std::string text = mutator.damaged({reinterpret_cast<const char *>(data), size});
    const size_t length = std::min(text.size(), max_size);
    std::memcpy(data, text.data(), length);
    return length;
}
