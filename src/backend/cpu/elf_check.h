#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace pto::wsp::backend::cpu {

/// What the linker will make of an object.
struct ElfSummary {
    std::vector<std::string> undefined;  ///< names of the symbols that it needs
    std::string flaw;                    ///< why it cannot be linked, or empty
};

/// Reads an x86-64 ELF relocatable as code generators write it and checks every size, offset and
/// index in it, because the linker trusts them: what passes may be handed to it, whatever the
/// bytes.
ElfSummary check_elf(std::string_view bytes);

}  // namespace pto::wsp::backend::cpu
