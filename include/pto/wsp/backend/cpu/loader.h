#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace pto::wsp::lower {
class Module;
struct Target;
}  // namespace pto::wsp::lower

namespace pto::wsp::backend::cpu {

/// Object bytes (ELF relocatable) of a lowered module, without Halide's runtime: the only undefined
/// symbols are those of core/abi.h and the C library's memory and math functions.
std::string emit_object(const lower::Module &module);

/// Code in this process, from object bytes by LLVM ORC (one LLJIT a process, one JITDylib an
/// object). Unloaded with the last reference.
class LoadedObject {
public:
    virtual ~LoadedObject() = default;
    /// Address of `symbol`; InternalError when it is not there.
    virtual void *address(std::string_view symbol) const = 0;
};

/// InternalError when the bytes are not an object or need a symbol that we do not supply.
std::shared_ptr<LoadedObject> load_object(std::string_view bytes, const std::string &name);

}  // namespace pto::wsp::backend::cpu
