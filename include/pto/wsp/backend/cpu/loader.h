#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

namespace pto::wsp::lower {
class Module;
struct Target;
}  // namespace pto::wsp::lower

namespace pto::wsp::backend::cpu {

/// Object bytes (ELF relocatable) of a lowered module, without Halide's runtime: the only undefined
/// symbols are those of `host_symbol`. InternalError when Halide refuses the module.
std::string emit_object(const lower::Module &module);

/// Code in this process, from object bytes by LLVM ORC (one session a process, one JITDylib an
/// object). Unloaded with the last reference. It has no unwind tables: nothing may be thrown
/// through it, which a long jump (`runtime::guarded_call`) does not do.
class LoadedObject {
public:
    virtual ~LoadedObject() = default;
    /// Address of `symbol`; InternalError when it is not there.
    virtual void *address(std::string_view symbol) const = 0;
};

/// Functions of this process by the names that an object calls them by.
using Externals = std::map<std::string, void *>;

/// InternalError when the bytes are not an object of this machine or need a symbol that neither we
/// nor `externals` supply; nothing of the object is left behind then. `name` stands for it in error
/// texts. Any number of threads may load at a time.
std::shared_ptr<LoadedObject> load_object(std::string_view bytes, const std::string &name,
                                          const Externals &externals = {});

/// What generated code gets for an undefined symbol, or null: the functions of core/abi.h, the C
/// library's memory and math functions, the conversions and wide divisions that compilers call.
/// Nothing else of this process is visible to generated code.
void *host_symbol(std::string_view name);

}  // namespace pto::wsp::backend::cpu
