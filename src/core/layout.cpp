#include "pto/wsp/core/layout.h"

#include <algorithm>

#include "pto/wsp/support/text.h"

namespace pto::wsp {

std::string Distribution::str() const {
    return replicated() ? "R" : "S(" + std::to_string(mesh_axis) + ")";
}

TensorLayout TensorLayout::make(std::vector<Distribution> dims, std::optional<MemLayout> mem,
                                const Loc &at) {
    if (mem && mem->strides.size() != dims.size()) {
        throw TypeCheckError(at, "layout: " + mem->str() + " has " + std::to_string(mem->rank()) +
                                     " dimensions, the distribution " +
                                     std::to_string(dims.size()));
    }
    return {std::move(dims), std::move(mem)};
}

TensorLayout TensorLayout::replicated(int rank) {
    return {std::vector<Distribution>(static_cast<size_t>(std::max(rank, 0))), {}};
}

TensorLayout TensorLayout::sharded(int dim, int rank, int mesh_axis, const Loc &at) {
    if (dim < 0 || dim >= rank) {
        throw TypeCheckError(at, "layout: dimension " + std::to_string(dim) +
                                     " is out of range for rank " + std::to_string(rank));
    }
    if (mesh_axis < 0) {
        throw TypeCheckError(at, "layout: mesh axis " + std::to_string(mesh_axis) + " is negative");
    }
    TensorLayout layout = replicated(rank);
    layout.dims[static_cast<size_t>(dim)].mesh_axis = mesh_axis;
    return layout;
}

bool TensorLayout::is_replicated() const {
    return sharded_dims().empty();
}

std::vector<int> TensorLayout::sharded_dims() const {
    std::vector<int> sharded;
    for (size_t dim = 0; dim < dims.size(); ++dim) {
        if (!dims[dim].replicated()) {
            sharded.push_back(static_cast<int>(dim));
        }
    }
    return sharded;
}

std::string TensorLayout::str() const {
    std::vector<std::string> parts;
    for (const Distribution &dim : dims) {
        parts.push_back(dim.str());
    }
    if (mem) {
        parts.push_back("mem=" + mem->str());
    }
    return "Layout(" + join(parts) + ")";
}

TensorLayout layout_join(const TensorLayout &a, const TensorLayout &b, const Loc &at) {
    if (a.dims.size() != b.dims.size()) {
        throw LayoutIncompatibleError(at,
                                      "layouts of different rank: " + a.str() + " and " + b.str());
    }
    TensorLayout joined = a;
    for (size_t dim = 0; dim < a.dims.size(); ++dim) {
        const Distribution &left = a.dims[dim];
        const Distribution &right = b.dims[dim];
        if (!left.replicated() && !right.replicated() && left != right) {
            throw LayoutIncompatibleError(
                at,
                "layouts differ in dimension " + std::to_string(dim) + ": " + a.str() + " and " +
                    b.str(),
                {}, "redistribute one of the two, or replicate the dimension");
        }
        joined.dims[dim] = left.replicated() ? right : left;
    }
    if (a.mem && b.mem && *a.mem != *b.mem) {
        throw LayoutIncompatibleError(at,
                                      "layouts differ in memory: " + a.str() + " and " + b.str(),
                                      {}, "copy one of the two to the layout of the other");
    }
    joined.mem = a.mem ? a.mem : b.mem;
    return joined;
}

}  // namespace pto::wsp
