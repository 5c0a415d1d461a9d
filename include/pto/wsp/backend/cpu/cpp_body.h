#pragma once

#include <cstdint>
#include <string>

#include "pto/wsp/kernel/program.h"
#include "pto/wsp/lower/lower.h"

namespace pto::wsp::backend::cpu {

/// The compiled C++ body of a kernel.
struct CompiledBody {
    std::string symbol;        ///< unique to the code: what generated code calls it by
    void *address = nullptr;   ///< of a lower::BodyFn; valid until the process ends
    bool hit = false;          ///< it was compiled before
    bool adds_cycles = false;  ///< it may call pto::cpu_sim::add_cycles
};

/// Compiles the kernel::CppBody of `program` for `target` with the system's compiler, or finds it
/// in this process or in the object cache. The key holds all that the preprocessor makes of it,
/// with whatever it includes, the flags and the version of the compiler. CompileError when there is
/// no compiler, or with what it says: at the user's line where the text has a file.
///
/// The code is a shared object and stays until the process ends: unlike generated code it has
/// unwind tables, static objects and per-thread ones, which only the system's loader knows how to
/// set up, and which make unloading unsafe while any thread lives that has run it.
CompiledBody compile_cpp_body(const kernel::TileProgram &program, const lower::Target &target);

/// What bodies have added with `pto::cpu_sim::add_cycles` on this thread since the last call.
int64_t take_added_cycles();

/// What compilers call the lines of a unit that nobody wrote.
inline constexpr const char *generated_file = "generated";

/// The translation unit that is compiled.
std::string cpp_unit(const kernel::TileProgram &program);

}  // namespace pto::wsp::backend::cpu
