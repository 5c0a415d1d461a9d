#pragma once

#include <string>
#include <vector>

#include "pto/wsp/support/error.h"

namespace pto::wsp {

/// How one dimension of a tensor is distributed: replicated, or sharded over a mesh axis.
struct Distribution {
    int mesh_axis = -1;  ///< -1: replicated
    bool replicated() const { return mesh_axis < 0; }
    std::string str() const;  ///< `R` or `S(0)`
    bool operator==(const Distribution &) const = default;
};

/// Distribution of each dimension. Prints as `Layout(S(0), R, R, R)`.
struct TensorLayout {
    std::vector<Distribution> dims;

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
/// LayoutIncompatibleError.
TensorLayout layout_join(const TensorLayout &a, const TensorLayout &b, const Loc &at = Loc::here());

}  // namespace pto::wsp
