#include "pto/wsp/core/memory_layout.h"

#include <algorithm>
#include <numeric>

#include "pto/wsp/support/text.h"

namespace pto::wsp {

namespace {

[[noreturn]] void fail(const Loc &at, const std::string &text, const std::string &hint = "") {
    throw CompileError(at, "MemLayout: " + text, {}, hint);
}

/// `(64, 1)`, `(64,)`
template <class Numbers> std::string tuple_text(const Numbers &numbers) {
    std::vector<std::string> parts;
    parts.reserve(numbers.size());
    for (const auto number : numbers) {
        parts.push_back(std::to_string(number));
    }
    return "(" + join(parts) + (parts.size() == 1 ? ",)" : ")");
}

void require_rank(size_t rank, size_t other, const std::string &what, const Loc &at) {
    if (rank != other) {
        fail(at, what + " has " + std::to_string(other) + " entries for " + std::to_string(rank) +
                     " dimensions");
    }
}

void require_permutation(const std::vector<int> &order, size_t rank, const std::string &what,
                         const Loc &at) {
    std::vector<int> sorted = order;
    std::ranges::sort(sorted);
    std::vector<int> all(rank);
    std::iota(all.begin(), all.end(), 0);
    if (sorted != all) {
        fail(at, what + " " + tuple_text(order) + " is no permutation of " + std::to_string(rank) +
                     " dimensions");
    }
}

/// Dimensions by descending stride, equal ones as they come.
std::vector<int> natural_order(const Shape &strides) {
    std::vector<int> order(strides.size());
    std::iota(order.begin(), order.end(), 0);
    std::ranges::stable_sort(order, [&](int a, int b) {
        return strides[static_cast<size_t>(a)] > strides[static_cast<size_t>(b)];
    });
    return order;
}

void check_extents(const Shape &shape, const std::string &what, int64_t least, const Loc &at) {
    for (const int64_t extent : shape) {
        if (extent < least) {
            fail(at,
                 what + " " + tuple_text(shape) + " has an entry below " + std::to_string(least));
        }
    }
}

int64_t product(int64_t a, int64_t b, const Loc &at) {
    int64_t result = 0;
    if (__builtin_mul_overflow(a, b, &result)) {
        fail(at, "stride " + std::to_string(a) + " x " + std::to_string(b) + " passes 64 bits");
    }
    return result;
}

/// Dimension of a row-major index of `shape` in which steps of `stride` move, and by how many: the
/// innermost dimension whose inner part divides it.
std::pair<size_t, int64_t> mode_of(int64_t stride, const Shape &shape) {
    int64_t inner = 1;
    for (size_t dim = shape.size(); dim-- > 0;) {
        if (stride % inner == 0 && stride / inner < shape[dim]) {
            return {dim, stride / inner};
        }
        inner *= shape[dim];
    }
    return {shape.size(), 0};
}

}  // namespace

int64_t Swizzle::apply(int64_t place) const {
    const int64_t moved = (place >> (base + shift)) & ((int64_t{1} << bits) - 1);
    return place ^ (moved << base);
}

std::string Swizzle::str() const {
    return "(" + std::to_string(bits) + ", " + std::to_string(base) + ", " + std::to_string(shift) +
           ")";
}

MemLayout MemLayout::make(Shape strides, std::optional<std::vector<int>> order,
                          std::optional<Swizzle> swizzle, int64_t pack, std::optional<Shape> shape,
                          const Loc &at) {
    check_extents(strides, "strides", 0, at);
    if (order) {
        require_permutation(*order, strides.size(), "order", at);
        for (size_t i = 1; i < order->size(); ++i) {
            const auto slow = static_cast<size_t>((*order)[i - 1]);
            const auto fast = static_cast<size_t>((*order)[i]);
            if (strides[slow] < strides[fast]) {
                fail(at,
                     "order " + tuple_text(*order) + " (slowest first) contradicts strides " +
                         tuple_text(strides),
                     "the strides have the order " + tuple_text(natural_order(strides)));
            }
        }
    }
    if (swizzle && (swizzle->bits < 0 || swizzle->base < 0 || swizzle->shift < 1 ||
                    swizzle->bits + swizzle->base + swizzle->shift > 62)) {
        fail(at, "swizzle " + swizzle->str() +
                     " is not (bits >= 0, base >= 0, shift >= 1) of 62 "
                     "bits in all");
    }
    if (pack < 1) {
        fail(at, "pack is " + std::to_string(pack) + ", not a number of elements >= 1");
    }
    if (shape) {
        require_rank(strides.size(), shape->size(), "shape", at);
        check_extents(*shape, "shape", 0, at);
    }
    std::vector<int> dims = order ? std::move(*order) : natural_order(strides);
    return {std::move(strides), std::move(dims), swizzle, pack, std::move(shape)};
}

MemLayout MemLayout::row_major(const Shape &shape, const Loc &at) {
    check_extents(shape, "shape", 0, at);
    Shape strides = contiguous_strides(shape);
    std::vector<int> order(shape.size());
    std::iota(order.begin(), order.end(), 0);
    return {std::move(strides), std::move(order), {}, 1, shape};
}

MemLayout MemLayout::col_major(const Shape &shape, const Loc &at) {
    std::vector<int> reversed(shape.size());
    std::iota(reversed.rbegin(), reversed.rend(), 0);
    return row_major(Shape(shape.rbegin(), shape.rend()), at).permute(reversed, at);
}

MemLayout MemLayout::permute(const std::vector<int> &permutation, const Loc &at) const {
    require_permutation(permutation, strides.size(), "permute:", at);
    MemLayout result = *this;
    for (size_t i = 0; i < permutation.size(); ++i) {
        const auto from = static_cast<size_t>(permutation[i]);
        result.strides[i] = strides[from];
        if (shape) {
            (*result.shape)[i] = (*shape)[from];
        }
    }
    for (int &dim : result.order) {
        dim = static_cast<int>(std::ranges::find(permutation, dim) - permutation.begin());
    }
    return result;
}

MemLayout MemLayout::compose(const MemLayout &outer, const Loc &at) const {
    if (swizzle || pack != 1) {
        fail(at, "compose: " + str() + " swizzles or packs, so its places are in no order that " +
                     outer.str() + " could take");
    }
    MemLayout result = outer;
    result.shape = shape;
    result.strides.clear();
    if (outer.rank() == 1 && !outer.shape) {
        for (const int64_t stride : strides) {
            result.strides.push_back(product(stride, outer.strides[0], at));
        }
    } else {
        if (!shape || !outer.shape) {
            fail(at, "compose: the shape of " + (shape ? outer : *this).str() + " is not known",
                 "make it with row_major(shape) or col_major(shape), or give shape=");
        }
        // In each dimension of the outer layout, steps add up without reaching its end: then no
        // sum carries into the next dimension, and places of the outer layout add up, too.
        Shape last(outer.strides.size(), 0);
        for (size_t dim = 0; dim < strides.size(); ++dim) {
            const int64_t extent = (*shape)[dim];
            if (extent <= 1 || strides[dim] == 0) {
                result.strides.push_back(0);
                continue;
            }
            const auto [mode, steps] = mode_of(strides[dim], *outer.shape);
            if (mode < last.size()) {
                last[mode] += product(steps, extent - 1, at);
            }
            if (mode == last.size() || last[mode] >= (*outer.shape)[mode]) {
                fail(at, "compose: dimension " + std::to_string(dim) + " of " + str() +
                             " has no single stride in " + outer.str());
            }
            result.strides.push_back(product(steps, outer.strides[mode], at));
        }
    }
    result.order = natural_order(result.strides);
    return result;
}

MemLayout MemLayout::tile(const Shape &tile, const Loc &at) const {
    require_rank(strides.size(), tile.size(), "tile", at);
    check_extents(tile, "tile", 1, at);
    MemLayout result = *this;
    result.strides.clear();
    if (shape) {
        result.shape = Shape{};
    }
    for (size_t dim = 0; dim < tile.size(); ++dim) {
        result.strides.push_back(product(strides[dim], tile[dim], at));
        if (shape) {
            if ((*shape)[dim] % tile[dim] != 0) {
                fail(at,
                     "tile " + tuple_text(tile) + " does not divide shape " + tuple_text(*shape));
            }
            result.shape->push_back((*shape)[dim] / tile[dim]);
        }
    }
    result.strides.insert(result.strides.end(), strides.begin(), strides.end());
    if (shape) {
        result.shape->insert(result.shape->end(), tile.begin(), tile.end());
    }
    result.order = natural_order(result.strides);
    return result;
}

int64_t MemLayout::place(const Shape &coordinates, const Loc &at) const {
    require_rank(strides.size(), coordinates.size(), "place:", at);
    int64_t place = 0;
    for (size_t dim = 0; dim < strides.size(); ++dim) {
        if (coordinates[dim] < 0 || (shape && coordinates[dim] >= (*shape)[dim])) {
            fail(at, "place: coordinates " + tuple_text(coordinates) + " are not inside " + str());
        }
        place += product(coordinates[dim], strides[dim], at);
    }
    return swizzle ? swizzle->apply(place) : place;
}

LinearLayout MemLayout::linear(const Loc &at) const {
    if (!shape) {
        fail(at, "linear: the shape of " + str() + " is not known",
             "make it with row_major(shape) or col_major(shape), or give shape=");
    }
    LinearLayout plain = LinearLayout::from_strides(*shape, strides, at);
    return swizzle ? LinearLayout::swizzle(plain.places(), swizzle->bits, swizzle->base,
                                           swizzle->shift, at)
                         .compose(plain, at)
                   : plain;
}

std::string MemLayout::str() const {
    std::string text = "MemLayout(" + tuple_text(strides);
    if (order != natural_order(strides)) {
        text += ", order=" + tuple_text(order);
    }
    if (swizzle) {
        text += ", swizzle=" + swizzle->str();
    }
    if (pack != 1) {
        text += ", pack=" + std::to_string(pack);
    }
    if (shape) {
        text += ", shape=" + tuple_text(*shape);
    }
    return text + ")";
}

}  // namespace pto::wsp
