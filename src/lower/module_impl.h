#pragma once

#include <Halide.h>

#include "pto/wsp/lower/lower.h"

namespace pto::wsp::lower {

struct Module::Impl {
    Halide::Module module;
};

}  // namespace pto::wsp::lower
