#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

#include "pto/wsp/core/tensor.h"
#include "pto/wsp/program/expressions.h"
#include "pto/wsp/workload/workload.h"

namespace pto::wsp {

/// The element type that an array of `T` has; F16 and BF16 are told apart from U16 by saying so.
template <class T> constexpr DType dtype_of() {
    static_assert(std::is_arithmetic_v<T> && !std::is_same_v<T, bool> &&
                      !std::is_same_v<T, long double>,
                  "tensors hold integers, float and double");
    if constexpr (std::is_floating_point_v<T>) {
        return sizeof(T) == 4 ? DType::F32 : DType::F64;
    } else {
        constexpr bool is_signed = std::is_signed_v<T>;
        switch (sizeof(T)) {
        case 1:
            return is_signed ? DType::I8 : DType::U8;
        case 2:
            return is_signed ? DType::I16 : DType::U16;
        case 4:
            return is_signed ? DType::I32 : DType::U32;
        default:
            return is_signed ? DType::I64 : DType::U64;
        }
    }
}

/// A place in a tensor, which may move with loop variables, and the line that names it.
class IndexAt {
public:
    IndexAt(const Affine &index, Loc at = Loc::here())  // NOLINT: expressions are places
        : index_(index), at_(std::move(at)) {}
    template <IntegerLike T>
    IndexAt(T index, Loc at = Loc::here())  // NOLINT: integers are places
        : index_(static_cast<int64_t>(index)), at_(std::move(at)) {}

    /// In the body of a workload; CompileError elsewhere.
    IndexAt(const ScalarExpr &index, Loc at = Loc::here());  // NOLINT: run-time places are, too

    const Affine &index() const { return index_; }
    const Loc &at() const { return at_; }

private:
    Affine index_;
    Loc at_;
};

/// How much of a partial tile is there; what is absent is whole.
struct ValidPart {
    std::optional<ScalarExpr> rows;
    std::optional<ScalarExpr> cols;
};

/// A tensor that workloads use, or a view of one. Copies share memory.
///
/// ```
/// Tensor zeros("K", {4, 8, 512, 64});
/// Tensor borrowed("Q", std::span(data), {4, 8, 512, 64});
/// zeros[b][h + 1], zeros[0].slice(2 * i, 2 * i + 2), zeros[0][0].valid({.rows = n})
/// ```
class Tensor {
public:
    /// Zeros, allocated here. CompileError for an impossible shape.
    Tensor(std::string name, const Shape &shape, DType dtype = DType::F32, Loc at = Loc::here());
    /// Memory in place, with any strides.
    Tensor(std::string name, TensorView view, Loc at = Loc::here());
    /// The caller's array in place, C-contiguous; it must outlive every run that uses it.
    /// TypeCheckError when it has another number of elements than `shape`.
    template <class T>
    Tensor(std::string name, std::span<T> data, const Shape &shape, Loc at = Loc::here())
        : Tensor(std::move(name), data.data(), data.size(), sizeof(T), shape, dtype_of<T>(),
                 std::is_const_v<T>, std::move(at)) {}
    /// The same with the elements' bits read as `dtype`: F16 and BF16 live in arrays of uint16_t.
    /// TypeCheckError when their sizes differ.
    template <class T>
    Tensor(std::string name, std::span<T> data, const Shape &shape, DType dtype,
           Loc at = Loc::here())
        : Tensor(std::move(name), data.data(), data.size(), sizeof(T), shape, dtype,
                 std::is_const_v<T>, std::move(at)) {}

    const std::string &name() const { return region_.tensor->name; }
    DType dtype() const { return region_.tensor->view.dtype; }
    Shape shape() const { return region_.shape(); }
    int64_t nbytes() const { return element_count(shape()) * size_bytes(dtype()); }
    /// False for arrays of constants, which kernels may only read.
    bool is_writeable() const { return writeable_; }

    /// A view with the first dimension fixed. A negative integer counts from the end.
    /// TypeCheckError when no dimension is left.
    Tensor operator[](const IndexAt &i) const;
    /// [begin, end) of the first dimension; both may move with loop variables, their distance is a
    /// constant (else TypeCheckError).
    Tensor slice(const Affine &begin, const Affine &end, Loc at = Loc::here()) const;
    /// A partial tile: only so many rows and columns are read or written.
    Tensor valid(ValidPart part, Loc at = Loc::here()) const;

    /// The memory. TypeCheckError for a view that moves with a loop variable.
    TensorView view(const Loc &at = Loc::here()) const;
    /// For `Program::bind`. TypeCheckError for arrays of constants, which could be written there.
    operator TensorView() const;  // NOLINT: tensors are views
    /// The elements of a C-contiguous tensor. TypeCheckError when it is none, or of another type
    /// (F16 and BF16 are uint16_t).
    template <class T> std::span<T> span(const Loc &at = Loc::here()) const {
        return {static_cast<T *>(elements(dtype_of<std::remove_const_t<T>>(), at)),
                static_cast<size_t>(element_count(shape()))};
    }

    /// The region of the memory, as workloads hold it.
    const workload::Region &region() const { return region_; }

private:
    friend class ChannelToken;
    friend Tensor sent_tile(const kernel::TileType &type, size_t number, const Loc &at);
    Tensor(std::string name, const void *data, size_t count, size_t bytes, const Shape &shape,
           DType dtype, bool read_only, Loc at);
    Tensor(workload::Region region, bool writeable)
        : region_(std::move(region)), writeable_(writeable) {}
    void *elements(DType wanted, const Loc &at) const;

    workload::Region region_;
    bool writeable_ = true;
};

}  // namespace pto::wsp
