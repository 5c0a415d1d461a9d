#include "backend/cpu/elf_check.h"

#include <cstddef>
#include <cstring>
#include <string>
#include <vector>

#include <elf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pto/wsp/backend/cpu/loader.h"
#include "pto/wsp/support/error.h"

namespace pto::wsp::backend::cpu {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// The smallest object with every table: a function `f` of 16 bytes that refers to `expf`.
struct Object {
    enum Section { Null, Text, Relocations, Symbols, Names, Count };

    Elf64_Ehdr header = {};
    Elf64_Shdr sections[Count] = {};
    unsigned char text[16] = {0xe8, 0, 0, 0, 0, 0xc3};
    Elf64_Rela relocation = {};
    Elf64_Sym symbols[3] = {};
    char names[16] = "\0f\0expf\0.text";

    Object() {
        std::memcpy(header.e_ident, ELFMAG, SELFMAG);
        header.e_ident[EI_CLASS] = ELFCLASS64;
        header.e_ident[EI_DATA] = ELFDATA2LSB;
        header.e_ident[EI_VERSION] = EV_CURRENT;
        header.e_version = EV_CURRENT;
        header.e_type = ET_REL;
        header.e_machine = EM_X86_64;
        header.e_ehsize = sizeof header;
        header.e_shoff = offsetof(Object, sections);
        header.e_shentsize = sizeof(Elf64_Shdr);
        header.e_shnum = Count;
        header.e_shstrndx = Names;
        place(Text, SHT_PROGBITS, offsetof(Object, text), sizeof text);
        sections[Text].sh_flags = SHF_ALLOC | SHF_EXECINSTR;
        sections[Text].sh_addralign = 16;
        sections[Text].sh_name = 8;
        place(Relocations, SHT_RELA, offsetof(Object, relocation), sizeof relocation);
        sections[Relocations].sh_entsize = sizeof(Elf64_Rela);
        sections[Relocations].sh_link = Symbols;
        sections[Relocations].sh_info = Text;
        place(Symbols, SHT_SYMTAB, offsetof(Object, symbols), sizeof symbols);
        sections[Symbols].sh_entsize = sizeof(Elf64_Sym);
        sections[Symbols].sh_link = Names;
        sections[Symbols].sh_info = 1;
        place(Names, SHT_STRTAB, offsetof(Object, names), sizeof names);
        relocation = {1, ELF64_R_INFO(2, R_X86_64_PLT32), -4};
        symbols[1] = {1, ELF64_ST_INFO(STB_GLOBAL, STT_FUNC), 0, Text, 0, 16};
        symbols[2] = {3, ELF64_ST_INFO(STB_GLOBAL, STT_NOTYPE), 0, SHN_UNDEF, 0, 0};
    }

    void place(Section section, uint32_t type, uint64_t offset, uint64_t bytes) {
        sections[section].sh_type = type;
        sections[section].sh_offset = offset;
        sections[section].sh_size = bytes;
    }

    std::string bytes() const { return {reinterpret_cast<const char *>(this), sizeof *this}; }
};

TEST(CheckElf, ListsWhatAGoodObjectNeeds) {
    const ElfSummary summary = check_elf(Object().bytes());
    EXPECT_EQ(summary.flaw, "");
    EXPECT_THAT(summary.undefined, ElementsAre("expf"));
    EXPECT_NE(load_object(Object().bytes(), "small")->address("f"), nullptr);
}

struct Damage {
    const char *flaw;
    void (*apply)(Object &object);
};

class CheckElfDamage : public ::testing::TestWithParam<Damage> {};

TEST_P(CheckElfDamage, IsNamed) {
    Object object;
    GetParam().apply(object);
    EXPECT_EQ(check_elf(object.bytes()).flaw, GetParam().flaw);
    EXPECT_THROW(load_object(object.bytes(), "damaged"), InternalError);
}

using O = Object;
const Damage damages[] = {
    {"not an ELF file", [](O &o) { o.header.e_ident[0] = 'E'; }},
    {"not for x86-64", [](O &o) { o.header.e_machine = EM_386; }},
    {"not for x86-64", [](O &o) { o.header.e_ident[EI_DATA] = ELFDATA2MSB; }},
    {"not relocatable", [](O &o) { o.header.e_type = ET_DYN; }},
    {"an unknown kind of ELF file", [](O &o) { o.header.e_shentsize = 8; }},
    {"no sections", [](O &o) { o.header.e_shnum = 0; }},
    {"no sections", [](O &o) { o.header.e_shoff = ~uint64_t{0}; }},
    {"cut short", [](O &o) { o.header.e_shoff = sizeof o - 8; }},
    {"a section index is too large", [](O &o) { o.header.e_shstrndx = O::Count; }},
    {"a section is too large", [](O &o) { o.sections[O::Text].sh_size = ~uint64_t{0}; }},
    {"a section is outside the file", [](O &o) { o.sections[O::Text].sh_offset = sizeof o - 8; }},
    {"a section is outside the file", [](O &o) { o.sections[O::Text].sh_offset = -8; }},
    {"a section has an impossible alignment", [](O &o) { o.sections[O::Text].sh_addralign = 3; }},
    {"a section has an impossible alignment",
     [](O &o) { o.sections[O::Text].sh_addralign = uint64_t{1} << 40; }},
    {"a section of an unknown kind", [](O &o) { o.sections[O::Text].sh_type = SHT_NOTE; }},
    {"thread-local, compressed or grouped data",
     [](O &o) { o.sections[O::Text].sh_flags |= SHF_TLS; }},
    {"too large in memory",
     [](O &o) {
         o.place(O::Relocations, SHT_NOBITS, 0, uint64_t{1} << 30);
         o.sections[O::Relocations].sh_flags = SHF_ALLOC;
     }},
    {"a name is outside its table", [](O &o) { o.sections[O::Text].sh_name = 16; }},
    {"a name is outside its table", [](O &o) { o.symbols[1].st_name = 16; }},
    {"a name is outside its table", [](O &o) { o.sections[O::Symbols].sh_link = O::Text; }},
    {"a name does not end", [](O &o) { std::memset(o.names + 8, 'x', 8); }},
    {"no symbol table", [](O &o) { o.sections[O::Symbols].sh_type = SHT_PROGBITS; }},
    {"two symbol tables", [](O &o) { o.sections[O::Relocations].sh_type = SHT_SYMTAB; }},
    {"no symbols", [](O &o) { o.sections[O::Symbols].sh_size = 0; }},
    {"a table has entries of the wrong size", [](O &o) { o.sections[O::Symbols].sh_entsize = 8; }},
    {"a table has entries of the wrong size", [](O &o) { o.sections[O::Symbols].sh_size -= 1; }},
    {"a symbol of an unknown kind", [](O &o) { o.symbols[1].st_info = 0xff; }},
    {"a symbol without a section", [](O &o) { o.symbols[1].st_shndx = SHN_COMMON; }},
    {"a section index is too large", [](O &o) { o.symbols[1].st_shndx = O::Count; }},
    {"a file name with a place", [](O &o) { o.symbols[1].st_info = STT_FILE; }},
    {"a symbol is outside its section", [](O &o) { o.symbols[1].st_value = 17; }},
    {"a symbol is outside its section", [](O &o) { o.symbols[1].st_size = ~uint64_t{0}; }},
    {"relocations without addends", [](O &o) { o.sections[O::Relocations].sh_type = SHT_REL; }},
    {"relocations of another symbol table",
     [](O &o) { o.sections[O::Relocations].sh_link = O::Names; }},
    {"relocations of what has no bytes",
     [](O &o) { o.sections[O::Relocations].sh_info = O::Null; }},
    {"a section index is too large", [](O &o) { o.sections[O::Relocations].sh_info = O::Count; }},
    {"a relocation of an unknown type",
     [](O &o) { o.relocation.r_info = ELF64_R_INFO(2, R_X86_64_TPOFF64); }},
    {"a relocation without a symbol",
     [](O &o) { o.relocation.r_info = ELF64_R_INFO(3, R_X86_64_PLT32); }},
    {"a relocation is outside its section", [](O &o) { o.relocation.r_offset = 13; }},
    {"a relocation is outside its section", [](O &o) { o.relocation.r_offset = -4; }},
    {"a relocation is outside its section",
     [](O &o) { o.relocation.r_info = ELF64_R_INFO(2, R_X86_64_REX_GOTPCRELX); }},
};

INSTANTIATE_TEST_SUITE_P(Each, CheckElfDamage, ::testing::ValuesIn(damages));

TEST(LoadObject, ReportsWhatTheLinkerRefuses) {
    Object object;
    // An address of 64 bits does not fit.
    object.relocation.r_info = ELF64_R_INFO(2, R_X86_64_32);
    try {
        load_object(object.bytes(), "far");
        FAIL() << "expected an InternalError";
    } catch (const InternalError &error) {
        EXPECT_THAT(error.what(), AllOf(HasSubstr("load-object"), HasSubstr("object far: "),
                                        HasSubstr("is out of range")));
    }
    EXPECT_NE(load_object(Object().bytes(), "small"), nullptr);
}

}  // namespace
}  // namespace pto::wsp::backend::cpu
