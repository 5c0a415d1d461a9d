#pragma once

#include <bit>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "pto/wsp/core/abi.h"
#include "pto/wsp/kernel/library.h"
#include "pto/wsp/lower/lower.h"

namespace pto::wsp::kernels {

/// Everything that decides the code of a library kernel, as bytes: cheap to write and to compare.
class CodeKey {
public:
    explicit CodeKey(const char *kernel) : bytes_(kernel) { bytes_ += '\0'; }

    CodeKey &add(int64_t value) {
        bytes_.append(reinterpret_cast<const char *>(&value), sizeof value);
        return *this;
    }
    CodeKey &add(double value) { return add(std::bit_cast<int64_t>(value)); }
    CodeKey &add(DType dtype) { return add(static_cast<int64_t>(dtype)); }
    template <class T> CodeKey &add(const std::optional<T> &value) {
        add(static_cast<int64_t>(value.has_value()));
        return value ? add(*value) : *this;
    }
    CodeKey &add(const lower::ParamLayout &layout) {
        return add(static_cast<int64_t>(layout.unit_columns + 2 * layout.partial + 4 * layout.wide +
                                        8 * layout.copied));
    }

    const std::string &bytes() const { return bytes_; }

private:
    std::string bytes_;
};

/// The code of `key` and `layouts` (one a parameter): from an earlier call in this process, or of
/// the program that `make` gives. Stays valid to the end of the process. Thread-safe.
abi::KernelFn library_code(CodeKey key, const std::vector<lower::ParamLayout> &layouts,
                           const std::function<ProgramPtr()> &make);

}  // namespace pto::wsp::kernels
