#include <cstring>

#include "pto/wsp/core/abi.h"
#include "pto/wsp/core/tile_text.h"
#include "pto/wsp/support/printing.h"

namespace {

template <typename T> T element(const void *data, int64_t index) {
    T value;
    std::memcpy(&value, static_cast<const char *>(data) + index * static_cast<int64_t>(sizeof(T)),
                sizeof(T));
    return value;
}

pto::wsp::Element read(pto::wsp::DType dtype, const void *data, int64_t index) {
    using pto::wsp::DType;
    switch (dtype) {
    case DType::F16:
    case DType::BF16:
    case DType::F32:
        return double{element<float>(data, index)};
    case DType::F64:
        return element<double>(data, index);
    case DType::I8:
        return int64_t{element<int8_t>(data, index)};
    case DType::I16:
        return int64_t{element<int16_t>(data, index)};
    case DType::I32:
        return int64_t{element<int32_t>(data, index)};
    case DType::U16:
        return int64_t{element<uint16_t>(data, index)};
    case DType::U32:
        return int64_t{element<uint32_t>(data, index)};
    case DType::I64:
    case DType::U64:
        return element<int64_t>(data, index);
    case DType::Mask:
        return double{element<uint8_t>(data, index) != 0 ? 1.0 : 0.0};
    default:
        return int64_t{element<uint8_t>(data, index)};
    }
}

}  // namespace

extern "C" void pto_wsp_print_tile(const char *title, int32_t dtype, const void *data, int64_t rows,
                                   int64_t columns, int64_t pitch) {
    auto type = static_cast<pto::wsp::DType>(dtype);
    pto::wsp::print_text(
        pto::wsp::printed_tile(title, type, rows, columns, [&](int64_t r, int64_t c) {
            return read(type, data, r * pitch + c);
        }));
}
