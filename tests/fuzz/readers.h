#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace pto::wsp::fuzz {

/// A reader of texts under test. `check` gives it any bytes: it must refuse them with an error of
/// the project, or read them, print them, and read that to the same again. Anything else (another
/// exception, an internal error, a text that changes) ends the process.
struct Reader {
    const char *name;  ///< of its directory of seeds as well
    void (*check)(std::string_view text);
};

/// All of them; a new reader is a row here.
std::span<const Reader> readers();

/// Null when there is none of that name.
const Reader *find_reader(std::string_view name);

}  // namespace pto::wsp::fuzz
