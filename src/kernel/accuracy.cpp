#include "pto/wsp/kernel/accuracy.h"

#include <fmt/format.h>

#include "pto/wsp/support/error.h"

namespace pto::wsp::kernel {

int Accuracy::ulps(DType dtype) const {
    if (!is_float(dtype) || (kind != Kind::Ulps && kind != Kind::Row)) {
        return 0;
    }
    if (size_bytes(dtype) == 2) {
        return 1;
    }
    return dtype == DType::F64 ? f64_ulps : f32_ulps;
}

std::string Accuracy::str(DType dtype) const {
    if (!is_float(dtype) || kind == Kind::Exact) {
        return "exact";
    }
    switch (kind) {
    case Kind::Rounded:
        return "correctly rounded";
    case Kind::Ulps:
        return fmt::format("<= {} ulp", ulps(dtype));
    case Kind::Sum:
        return "<= n ulp of sum |x|";
    case Kind::Product:
        return "<= k ulp of |a| @ |b|";
    case Kind::Row:
        return size_bytes(dtype) == 2 ? "<= 1 ulp" : fmt::format("<= n + {} ulp", ulps(dtype));
    default:
        throw InternalError("accuracy", "it is not stated");
    }
}

}  // namespace pto::wsp::kernel
