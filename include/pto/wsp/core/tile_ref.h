#pragma once

// Stands alone: C++ bodies of kernels are compiled against this file and nothing else of ours.
#include <cstdint>
#include <cstring>

namespace pto::cpu_sim {

/// Where added cycles go; set by whoever loads the body. A body that adds none does not have it.
extern "C" {
[[gnu::visibility("default")]] inline void (*pto_wsp_add_cycles)(std::int64_t cycles) = nullptr;
}

/// In the body of a kernel: `cycles` more that its task takes in the virtual-cycle model of the
/// target `cpu_sim`. Each task may add others. Has no effect under other targets.
inline void add_cycles(std::int64_t cycles) {
    if (pto_wsp_add_cycles != nullptr) {
        pto_wsp_add_cycles(cycles);
    }
}

}  // namespace pto::cpu_sim

namespace pto::wsp {

/// A number of 16 bits as memory holds it: `Convert` knows the bits. Arithmetic is that of float,
/// and what is stored is rounded to nearest even.
template <class Convert> struct StoredFloat {
    std::uint16_t bits;

    StoredFloat() = default;
    StoredFloat(float value) : bits(Convert::to_bits(value)) {}  // NOLINT: floats are elements
    operator float() const { return Convert::to_float(bits); }   // NOLINT: elements are floats

    StoredFloat &operator+=(float x) { return *this = *this + x; }
    StoredFloat &operator-=(float x) { return *this = *this - x; }
    StoredFloat &operator*=(float x) { return *this = *this * x; }
    StoredFloat &operator/=(float x) { return *this = *this / x; }
};

/// The bits of a float.
inline std::uint32_t float_bits(float value) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}
/// The float of these bits.
inline float float_of_bits(std::uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

/// IEEE 754 binary16.
struct Binary16 {
    static std::uint16_t to_bits(float value) {
        const std::uint32_t all = float_bits(value);
        const std::uint32_t sign = (all >> 16) & 0x8000u;
        const std::uint32_t size = all & 0x7fffffffu;
        std::uint32_t half;
        if (size > 0x7f800000u) {
            half = 0x7e00u | ((size >> 13) & 0x3ffu);  // a NaN, quiet
        } else if (size >= 0x477ff000u) {
            half = 0x7c00u;  // 65520 and more are infinite
        } else if (size < 0x38800000u) {
            // The last bit of 0.5 is worth the least subnormal, so this sum rounds to it.
            half = float_bits(float_of_bits(size) + 0.5f) - 0x3f000000u;
        } else {
            half = (size - 0x38000000u + 0xfffu + ((size >> 13) & 1u)) >> 13;
        }
        return static_cast<std::uint16_t>(sign | half);
    }
    static float to_float(std::uint16_t bits) {
        const std::uint32_t sign = (bits & 0x8000u) << 16;
        const std::uint32_t size = (bits & 0x7fffu) << 13;
        if (size >= 0x0f800000u) {
            return float_of_bits(sign | (size + 0x70000000u));  // infinite or a NaN
        }
        if (size < 0x00800000u) {
            const float subnormal = static_cast<float>(bits & 0x3ffu) * 0x1p-24f;
            return float_of_bits(sign | float_bits(subnormal));
        }
        return float_of_bits(sign | (size + 0x38000000u));
    }
};

/// The upper half of a float.
struct Brain16 {
    static std::uint16_t to_bits(float value) {
        const std::uint32_t bits = float_bits(value);
        const bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
        const std::uint32_t nearest = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
        return static_cast<std::uint16_t>(nan ? (bits >> 16) | 0x40u : nearest);
    }
    static float to_float(std::uint16_t bits) {
        return float_of_bits(static_cast<std::uint32_t>(bits) << 16);
    }
};

/// An element of F16.
using Float16 = StoredFloat<Binary16>;
/// An element of BF16.
using BFloat16 = StoredFloat<Brain16>;

/// A tile parameter in the C++ body of a kernel: elements of type T, const for an input, that stay
/// where the caller has them. Rows and columns are the valid ones.
///
/// ```
/// for (int64_t r = 0; r < x.rows(); ++r)
///     for (int64_t c = 0; c < x.cols(); ++c)
///         y(r, c) = 2 * x(r, c);
/// ```
template <class T> class TileRef {
public:
    TileRef(T *data, std::int64_t rows, std::int64_t cols, std::int64_t stride,
            std::int64_t column_stride)
        : data_(data), rows_(rows), cols_(cols), stride_(stride), column_stride_(column_stride) {}

    /// The element at row `r` and column `c`, which nothing checks.
    T &operator()(std::int64_t r, std::int64_t c) const {
        return data_[r * stride_ + c * column_stride_];
    }
    std::int64_t rows() const { return rows_; }
    std::int64_t cols() const { return cols_; }
    /// Address of element (0, 0).
    T *data() const { return data_; }
    /// Elements from a row to the next; may be negative or 0.
    std::int64_t stride() const { return stride_; }
    /// Elements from a column to the next: 1 unless the caller's array is strided.
    std::int64_t column_stride() const { return column_stride_; }

private:
    T *data_;
    std::int64_t rows_, cols_, stride_, column_stride_;
};

}  // namespace pto::wsp
