#include <algorithm>
#include <numeric>

#include "pto/wsp/support/text.h"
#include "pto/wsp/workload/workload.h"
#include "workload/node_visit.h"

namespace pto::wsp::workload {

namespace {

int first_kept(const Region &region, const char *what, const Loc &at) {
    if (region.keep.empty()) {
        throw TypeCheckError(at, std::string(what) + ": " + region.str() + " has no dimension left",
                             {{region.tensor->at, region.tensor->name + " has the shape " +
                                                      shape_text(region.tensor->view.shape)}});
    }
    return region.keep.front();
}

/// The smaller of two limits of a valid part; nothing is no limit.
std::optional<ScalarExpr> smaller(const std::optional<ScalarExpr> &a, std::optional<ScalarExpr> b) {
    if (!a || !b || *a == *b) {
        return a ? a : b;
    }
    if (a->op() == ScalarExpr::Op::Const && b->op() == ScalarExpr::Op::Const) {
        return std::min(a->value(), b->value());
    }
    return ScalarExpr::make(ScalarExpr::Op::Min, {*a, std::move(*b)});
}

/// TypeCheckError when the valid part limits the first kept dimension: places of it cannot be told
/// apart from the others of the tile.
void require_whole(const Region &region, const char *what, const Loc &at) {
    const bool rows = region.keep.size() == 2 && region.valid_rows.has_value();
    const bool columns = region.keep.size() == 1 && region.valid_columns.has_value();
    if (rows || columns) {
        throw TypeCheckError(at,
                             std::string(what) + ": " + region.str() + " is a partial tile already",
                             {}, std::string(what) + " first, then valid(...)");
    }
}

/// Narrows dimension `dim` to `extent` places from `offset` (relative to the region).
void narrow(Region &region, int dim, const Affine &offset, int64_t extent) {
    const auto d = static_cast<size_t>(dim);
    const int64_t size = region.extents[d];
    const bool whole_tensor =
        region.offsets[d] == Affine(0) && size == region.tensor->view.shape[d];
    if (!whole_tensor) {
        region.bounds.push_back({dim, offset, extent, size});
    }
    region.offsets[d] = region.offsets[d] + offset;
    region.extents[d] = extent;
}

/// A negative constant counts from the end.
Affine from_end(const Affine &place, int64_t size) {
    return place.is_constant() && place.constant() < 0 ? place + size : place;
}

}  // namespace

Shape Region::shape() const {
    Shape result;
    for (const int dim : keep) {
        result.push_back(extents[static_cast<size_t>(dim)]);
    }
    return result;
}

std::string Region::str() const {
    std::vector<std::string> places;
    size_t next_kept = 0;
    for (size_t d = 0; d < offsets.size(); ++d) {
        std::string place = offsets[d].str();
        if (next_kept < keep.size() && keep[next_kept] == static_cast<int>(d)) {
            place += ":" + (offsets[d] + extents[d]).str();
            next_kept++;
        }
        places.push_back(place);
    }
    std::string text = name_text(tensor->name) + "[" + join(places) + "]";
    std::vector<std::string> parts;
    if (valid_rows) {
        parts.push_back("rows = " + valid_rows->str());
    }
    if (valid_columns) {
        parts.push_back("columns = " + valid_columns->str());
    }
    return parts.empty() ? text : text + " valid(" + join(parts) + ")";
}

Region whole(TensorPtr tensor, Loc at) {
    Region region;
    const Shape &shape = tensor->view.shape;
    region.offsets.assign(shape.size(), 0);
    region.extents = shape;
    region.keep.resize(shape.size());
    std::iota(region.keep.begin(), region.keep.end(), 0);
    region.tensor = std::move(tensor);
    region.at = std::move(at);
    return region;
}

Region index(const Region &region, const Affine &i, Loc at) {
    const int dim = first_kept(region, "index", at);
    require_whole(region, "index", at);
    Region result = region;
    narrow(result, dim, from_end(i, region.extents[static_cast<size_t>(dim)]), 1);
    result.keep.erase(result.keep.begin());
    result.at = std::move(at);
    return result;
}

Region slice(const Region &region, const Affine &begin, const Affine &end, Loc at) {
    const int dim = first_kept(region, "slice", at);
    require_whole(region, "slice", at);
    const int64_t size = region.extents[static_cast<size_t>(dim)];
    const Affine first = from_end(begin, size);
    const std::optional<int64_t> extent = (from_end(end, size) - first).as_constant();
    if (!extent || *extent < 0) {
        throw TypeCheckError(at,
                             "slice(" + begin.str() + ", " + end.str() + ") of " + region.str() +
                                 ": the length " + (from_end(end, size) - first).str() +
                                 " is not a constant >= 0",
                             {}, "take slice(" + begin.str() + ", " + begin.str() + " + n)");
    }
    Region result = region;
    narrow(result, dim, first, *extent);
    result.at = std::move(at);
    return result;
}

Region valid(const Region &region, std::optional<ScalarExpr> rows,
             std::optional<ScalarExpr> columns, Loc at) {
    Region result = region;
    result.valid_rows = smaller(region.valid_rows, std::move(rows));
    result.valid_columns = smaller(region.valid_columns, std::move(columns));
    result.at = std::move(at);
    return result;
}

}  // namespace pto::wsp::workload
