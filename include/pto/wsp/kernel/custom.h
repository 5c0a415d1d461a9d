#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "pto/wsp/kernel/program.h"

namespace pto::wsp::kernel {

/// What a kernel does, where no tile program says it: code of the user's own. Immutable.
class CustomBody {
public:
    virtual ~CustomBody() = default;
    /// What it is written in, for texts: `C++`.
    virtual std::string language() const = 0;
    /// All that its code depends on, as far as this process knows before compiling it.
    virtual std::string str() const = 0;
};

/// C++ text as the body of a kernel, which the system's compiler compiles.
///
/// As a body, the text is the inside of a function that sees the parameters by name: tiles are a
/// `TileRef` (core/tile_ref.h), scalars and `constants` are numbers; F16 and BF16 scalars are
/// floats. As a unit, the text is a file that defines a function of the kernel's name, returning
/// nothing, with the parameters in order and the constants after them. An exception that leaves it
/// ends the task with its text. It may be called by several threads at a time.
struct CppBody : CustomBody {
    enum class Form { Body, Unit };
    /// A value known before the code is: its name, and its value.
    using Constant = std::pair<std::string, std::variant<bool, int64_t, double, std::string>>;

    Form form = Form::Body;
    std::string text;
    Loc text_at;         ///< of its first line; without a file: lines are counted in the text
    std::string origin;  ///< what to call the text where it has no file: `cpp_src`
    std::vector<std::string> includes;      ///< `<cmath>`, `"mine.h"` or `mine.h`
    std::vector<std::string> include_dirs;  ///< searched first
    std::vector<Constant> constants;

    std::string language() const override { return "C++"; }
    std::string str() const override;
};

/// A kernel whose body is `body`. TypeCheckError for wrong parameters. In the cycle model its tasks
/// take what the body adds with `pto::cpu_sim::add_cycles`, see core/tile_ref.h.
std::shared_ptr<const TileProgram> custom_program(std::string name, std::vector<Param> params,
                                                  std::shared_ptr<const CustomBody> body, Loc at);

}  // namespace pto::wsp::kernel
