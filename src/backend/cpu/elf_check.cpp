#include "backend/cpu/elf_check.h"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>

#include <elf.h>
#include <fmt/format.h>

namespace pto::wsp::backend::cpu {
namespace {

/// More than any object of ours; keeps sums of sizes far from overflow.
constexpr uint64_t most_bytes = uint64_t{1} << 30;
constexpr uint64_t most_alignment = 4096;

/// Bytes that a relocation changes, or 0 when the linker need not know the type.
uint64_t relocated_bytes(uint32_t type) {
    switch (type) {
    case R_X86_64_64:
    case R_X86_64_PC64:
    case R_X86_64_GOTOFF64:
    case R_X86_64_GOTPC64:
        return 8;
    case R_X86_64_32:
    case R_X86_64_32S:
    case R_X86_64_PC32:
    case R_X86_64_PLT32:
    case R_X86_64_GOTPC32:
    case R_X86_64_GOTPCREL:
    case R_X86_64_GOTPCRELX:
    case R_X86_64_REX_GOTPCRELX:
        return 4;
    default:
        return 0;
    }
}

/// Bytes in front of a relocation that the linker looks at, to replace the instruction.
uint64_t instruction_bytes(uint32_t type) {
    return type == R_X86_64_GOTPCRELX || type == R_X86_64_REX_GOTPCRELX ? 3 : 0;
}

class Flaw : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

void require(bool condition, const char *what) {
    if (!condition) {
        throw Flaw(what);
    }
}

class Elf {
public:
    explicit Elf(std::string_view bytes) : bytes_(bytes) {
        read_header();
        read_sections();
        read_symbols();
        check_relocations();
    }

    std::vector<std::string> undefined;

private:
    void read_header();
    void read_sections();
    void read_symbols();
    void read_symbol(const Elf64_Sym &symbol, const Elf64_Shdr &names);
    void check_relocations();
    void check_relocations(const Elf64_Shdr &section);

    /// The structure number `index` of a table at `offset`, which must be inside the file.
    template <typename T> T at(uint64_t offset, uint64_t index = 0) const {
        const uint64_t begin = offset + index * sizeof(T);
        require(begin <= bytes_.size() && bytes_.size() - begin >= sizeof(T), "cut short");
        T value;
        std::memcpy(&value, bytes_.data() + begin, sizeof(T));
        return value;
    }

    /// The number of structures in a table.
    template <typename T> uint64_t count(const Elf64_Shdr &table) const {
        require(table.sh_entsize == sizeof(T) && table.sh_size % sizeof(T) == 0,
                "a table has entries of the wrong size");
        return table.sh_size / sizeof(T);
    }

    std::string_view name(const Elf64_Shdr &names, uint64_t offset) const {
        require(names.sh_type == SHT_STRTAB && offset < names.sh_size,
                "a name is outside its table");
        const std::string_view table = bytes_.substr(names.sh_offset, names.sh_size);
        const size_t end = table.find('\0', offset);
        require(end != table.npos, "a name does not end");
        return table.substr(offset, end - offset);
    }

    const Elf64_Shdr &section(uint64_t index) const {
        require(index < sections_.size(), "a section index is too large");
        return sections_[index];
    }

    std::string_view bytes_;
    Elf64_Ehdr header_ = {};
    std::vector<Elf64_Shdr> sections_;
    uint64_t symbol_table_ = 0;  ///< index of its section
    uint64_t symbols_ = 0;
};

void Elf::read_header() {
    require(bytes_.size() <= most_bytes, "too large");
    require(bytes_.substr(0, SELFMAG) == ELFMAG, "not an ELF file");
    header_ = at<Elf64_Ehdr>(0);
    require(header_.e_ident[EI_CLASS] == ELFCLASS64 && header_.e_ident[EI_DATA] == ELFDATA2LSB &&
                header_.e_machine == EM_X86_64,
            "not for x86-64");
    require(header_.e_type == ET_REL, "not relocatable");
    require(header_.e_ident[EI_VERSION] == EV_CURRENT && header_.e_version == EV_CURRENT &&
                header_.e_ehsize == sizeof(Elf64_Ehdr) &&
                header_.e_shentsize == sizeof(Elf64_Shdr) && header_.e_flags == 0,
            "an unknown kind of ELF file");
}

void Elf::read_sections() {
    require(header_.e_shnum > 0 && header_.e_shoff <= bytes_.size(), "no sections");
    uint64_t memory_bytes = 0;
    for (uint64_t i = 0; i < header_.e_shnum; ++i) {
        const auto section = at<Elf64_Shdr>(header_.e_shoff, i);
        const bool in_file = section.sh_type != SHT_NOBITS && section.sh_type != SHT_NULL;
        require(section.sh_size <= most_bytes, "a section is too large");
        require(!in_file || (section.sh_offset <= bytes_.size() &&
                             section.sh_size <= bytes_.size() - section.sh_offset),
                "a section is outside the file");
        require(section.sh_addralign <= most_alignment &&
                    (section.sh_addralign == 0 || std::has_single_bit(section.sh_addralign)),
                "a section has an impossible alignment");
        if (section.sh_flags & SHF_ALLOC) {
            require(section.sh_type == SHT_PROGBITS || section.sh_type == SHT_NOBITS,
                    "a section of an unknown kind");
            require((section.sh_flags & (SHF_TLS | SHF_COMPRESSED | SHF_GROUP)) == 0,
                    "thread-local, compressed or grouped data");
            memory_bytes += section.sh_size;
        }
        sections_.push_back(section);
    }
    require(memory_bytes <= most_bytes, "too large in memory");
    for (const Elf64_Shdr &section : sections_) {
        name(this->section(header_.e_shstrndx), section.sh_name);
    }
}

void Elf::read_symbols() {
    for (size_t i = 0; i < sections_.size(); ++i) {
        if (sections_[i].sh_type == SHT_SYMTAB) {
            require(symbol_table_ == 0, "two symbol tables");
            symbol_table_ = i;
        }
    }
    require(symbol_table_ != 0, "no symbol table");
    const Elf64_Shdr &table = sections_[symbol_table_];
    const Elf64_Shdr &names = section(table.sh_link);
    symbols_ = count<Elf64_Sym>(table);
    require(symbols_ > 0, "no symbols");
    for (uint64_t i = 1; i < symbols_; ++i) {
        read_symbol(at<Elf64_Sym>(table.sh_offset, i), names);
    }
}

void Elf::read_symbol(const Elf64_Sym &symbol, const Elf64_Shdr &names) {
    const std::string_view symbol_name = name(names, symbol.st_name);
    const auto binding = ELF64_ST_BIND(symbol.st_info);
    const auto type = ELF64_ST_TYPE(symbol.st_info);
    require(binding <= STB_WEAK && type <= STT_FILE, "a symbol of an unknown kind");
    if (symbol.st_shndx == SHN_UNDEF) {
        undefined.emplace_back(symbol_name);
        return;
    }
    if (type == STT_FILE) {
        require(symbol.st_shndx == SHN_ABS, "a file name with a place");
        return;
    }
    require(symbol.st_shndx < SHN_LORESERVE, "a symbol without a section");
    const Elf64_Shdr &home = section(symbol.st_shndx);
    require(symbol.st_value <= home.sh_size && symbol.st_size <= home.sh_size - symbol.st_value,
            "a symbol is outside its section");
}

void Elf::check_relocations() {
    for (const Elf64_Shdr &section : sections_) {
        require(section.sh_type != SHT_REL, "relocations without addends");
        if (section.sh_type == SHT_RELA) {
            check_relocations(section);
        }
    }
}

void Elf::check_relocations(const Elf64_Shdr &table) {
    require(table.sh_link == symbol_table_, "relocations of another symbol table");
    const Elf64_Shdr &target = section(table.sh_info);
    require(target.sh_type == SHT_PROGBITS, "relocations of what has no bytes");
    for (uint64_t i = 0, end = count<Elf64_Rela>(table); i < end; ++i) {
        const auto relocation = at<Elf64_Rela>(table.sh_offset, i);
        const auto type = static_cast<uint32_t>(ELF64_R_TYPE(relocation.r_info));
        const uint64_t bytes = relocated_bytes(type);
        require(bytes != 0, "a relocation of an unknown type");
        require(ELF64_R_SYM(relocation.r_info) < symbols_, "a relocation without a symbol");
        require(relocation.r_offset >= instruction_bytes(type) && bytes <= target.sh_size &&
                    relocation.r_offset <= target.sh_size - bytes,
                "a relocation is outside its section");
    }
}

}  // namespace

ElfSummary check_elf(std::string_view bytes) {
    try {
        return {Elf(bytes).undefined, ""};
    } catch (const Flaw &flaw) {
        return {{}, flaw.what()};
    }
}

}  // namespace pto::wsp::backend::cpu
