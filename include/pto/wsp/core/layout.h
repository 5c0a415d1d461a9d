#pragma once

#include <optional>
#include <string>
#include <vector>

#include "pto/wsp/core/memory_layout.h"
#include "pto/wsp/support/error.h"

namespace pto::wsp {

/// How one dimension of a tensor is distributed: replicated, or sharded over a mesh axis.
struct Distribution {
    int mesh_axis = -1;  ///< -1: replicated
    bool replicated() const { return mesh_axis < 0; }
    std::string str() const;  ///< `R` or `S(0)`
    bool operator==(const Distribution &) const = default;
};

/// Distribution of each dimension and, where it is said, how elements lie in memory. Prints as
/// `Layout(S(0), R, R, R)`.
struct TensorLayout {
    std::vector<Distribution> dims;
    std::optional<MemLayout> mem;

    /// TypeCheckError at `at` when `mem` has another rank than there are dimensions.
    static TensorLayout make(std::vector<Distribution> dims, std::optional<MemLayout> mem,
                             const Loc &at = Loc::here());

    /// No dimension is distributed.
    static TensorLayout replicated(int rank);
    /// Only `dim` is distributed. TypeCheckError when it is not in [0, rank) or the axis is
    /// negative.
    static TensorLayout sharded(int dim, int rank, int mesh_axis = 0, const Loc &at = Loc::here());
    bool is_replicated() const;
    /// Dimensions that are not replicated, ascending.
    std::vector<int> sharded_dims() const;
    std::string str() const;
    bool operator==(const TensorLayout &) const = default;
};

/// Two layouts that cannot be joined without moving data.
class LayoutIncompatibleError : public TypeCheckError {
    using TypeCheckError::TypeCheckError;
};

/// Per dimension: R ⊔ x = x, S(i) ⊔ S(i) = S(i); S(i) ⊔ S(j) and different ranks throw
/// LayoutIncompatibleError. Of the memory layouts, the one that is given; two different ones throw.
TensorLayout layout_join(const TensorLayout &a, const TensorLayout &b, const Loc &at = Loc::here());

}  // namespace pto::wsp
