#include "pto/wsp/kernel/number.h"

#include "pto/wsp/kernel/type.h"

namespace pto::wsp::kernel {

bool Number::fits(DType dtype) const {
    return is_past_i64() ? dtype == DType::U64 : is_integer() && fits_integer(dtype, integer());
}

double Number::real() const {
    return std::visit([](auto value) { return static_cast<double>(value); }, value_);
}

std::string Number::str() const {
    return is_past_i64()  ? std::to_string(std::get<uint64_t>(value_))
           : is_integer() ? attribute_text(integer())
                          : attribute_text(real());
}

std::string range_text(DType dtype) {
    const int bits = 8 * size_bytes(dtype);
    if (pto::wsp::info(dtype).kind == DTypeKind::Unsigned) {
        return "0 to " + std::to_string(UINT64_MAX >> (64 - bits));
    }
    const int64_t most = INT64_MAX >> (64 - bits);
    return std::to_string(-most - 1) + " to " + std::to_string(most);
}

}  // namespace pto::wsp::kernel
