#pragma once

#include <cstdint>

/// The structures of DLPack that arrays are exchanged by, as its header (version 0.8, dlpack.h of
/// the DMLC project) lays them out in memory.
namespace pto::wsp::python::dlpack {

/// DLDeviceType.
inline constexpr int32_t cpu = 1;

/// DLDataTypeCode.
enum TypeCode : uint8_t {
    signed_integer = 0,
    unsigned_integer = 1,
    floating = 2,
    bfloat = 4,
    boolean = 6,
    other = 255,
};

/// DLDevice.
struct Device {
    int32_t type;
    int32_t number;
};

/// DLDataType.
struct Type {
    uint8_t code;
    uint8_t bits;
    uint16_t lanes;
};

/// DLTensor. Strides are in elements; null strides are those of a contiguous array.
struct Tensor {
    void *data;
    Device device;
    int32_t rank;
    Type type;
    int64_t *shape;
    int64_t *strides;
    uint64_t byte_offset;
};

/// DLManagedTensor.
struct ManagedTensor {
    Tensor tensor;
    void *context;
    void (*deleter)(ManagedTensor *self);
};

}  // namespace pto::wsp::python::dlpack
