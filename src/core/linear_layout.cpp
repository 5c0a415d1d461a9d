#include "pto/wsp/core/linear_layout.h"

#include <algorithm>
#include <bit>

#include "pto/wsp/support/text.h"

namespace pto::wsp {

namespace {

constexpr int max_bits = 62;

bool is_power_of_two(int64_t value) {
    return value > 0 && std::has_single_bit(static_cast<uint64_t>(value));
}

int log2_of(int64_t power) {
    return std::countr_zero(static_cast<uint64_t>(power));
}

int64_t bit(int number) {
    return int64_t{1} << number;
}

[[noreturn]] void fail(const Loc &at, const std::string &text, const std::string &hint = "") {
    throw CompileError(at, "linear layout: " + text, {}, hint);
}

void require_power(int64_t value, const std::string &what, const Loc &at) {
    if (!is_power_of_two(value)) {
        fail(at, what + " is " + std::to_string(value) + ", not a power of two",
             "a layout over bits has powers of two; MemLayout takes any extent");
    }
}

/// Bits of all coordinates. CompileError unless extents are powers of two.
int bits_of(const Shape &shape, const Loc &at) {
    int bits = 0;
    for (size_t dim = 0; dim < shape.size(); ++dim) {
        require_power(shape[dim], "extent " + std::to_string(dim), at);
        bits += log2_of(shape[dim]);
        if (bits > max_bits) {
            fail(at, shape_text(shape) + " has more than 2^62 elements");
        }
    }
    return bits;
}

void require_rank(const Shape &shape, const Shape &other, const char *what, const Loc &at) {
    if (shape.size() != other.size()) {
        fail(at, std::string(what) + " " + shape_text(other) + " and shape " + shape_text(shape) +
                     " differ in rank");
    }
}

/// Column echelon form: pairs of an image and the index that it comes from, images with distinct
/// highest bits; an image of 0 belongs to the kernel.
struct Echelon {
    std::vector<std::pair<int64_t, int64_t>> image;
    std::vector<int64_t> kernel;
};

Echelon eliminate(const std::vector<int64_t> &bases) {
    Echelon result;
    for (size_t i = 0; i < bases.size(); ++i) {
        int64_t value = bases[i];
        int64_t source = bit(static_cast<int>(i));
        for (const auto &[other, from] : result.image) {
            if ((value ^ other) < value) {
                value ^= other;
                source ^= from;
            }
        }
        if (value == 0) {
            result.kernel.push_back(source);
            continue;
        }
        result.image.emplace_back(value, source);
        std::ranges::sort(result.image, std::greater<>());
    }
    return result;
}

}  // namespace

LinearLayout::LinearLayout(Shape shape, std::vector<int64_t> bases, int64_t places, const Loc &at)
    : shape_(std::move(shape)), bases_(std::move(bases)), places_(places) {
    const int bits = bits_of(shape_, at);
    require_power(places_, "the number of places", at);
    if (bases_.size() != static_cast<size_t>(bits)) {
        fail(at, shape_text(shape_) + " has " + std::to_string(bits) + " bits, but there are " +
                     std::to_string(bases_.size()) + " bases");
    }
    for (const int64_t base : bases_) {
        if (base < 0 || base >= places_) {
            fail(at, "basis " + std::to_string(base) + " is out of range for " +
                         std::to_string(places_) + " places");
        }
    }
}

LinearLayout LinearLayout::identity(int64_t size, const Loc &at) {
    return row_major({size}, at);
}

LinearLayout LinearLayout::row_major(const Shape &shape, const Loc &at) {
    bits_of(shape, at);
    return from_strides(shape, contiguous_strides(shape), at);
}

LinearLayout LinearLayout::col_major(const Shape &shape, const Loc &at) {
    bits_of(shape, at);
    Shape reversed(shape.rbegin(), shape.rend());
    Shape strides = contiguous_strides(reversed);
    std::ranges::reverse(strides);
    return from_strides(shape, strides, at);
}

LinearLayout LinearLayout::from_strides(const Shape &shape, const Shape &strides, const Loc &at) {
    const int bits = bits_of(shape, at);
    require_rank(shape, strides, "strides", at);
    std::vector<int64_t> bases(static_cast<size_t>(bits));
    int64_t used = 0;
    int from = bits;
    for (size_t dim = 0; dim < shape.size(); ++dim) {
        const int own = log2_of(shape[dim]);
        from -= own;
        if (strides[dim] == 0) {
            continue;
        }
        require_power(strides[dim], "stride " + std::to_string(dim), at);
        const int first = log2_of(strides[dim]);
        if (first + own > max_bits) {
            fail(at, "stride " + std::to_string(strides[dim]) + " of extent " +
                         std::to_string(shape[dim]) + " passes 2^62 places");
        }
        const int64_t mask = (bit(own) - 1) << first;
        if ((used & mask) != 0) {
            fail(at, "strides " + shape_text(strides) + " of shape " + shape_text(shape) +
                         " overlap: their sum carries, which is not linear over bits");
        }
        used |= mask;
        for (int b = 0; b < own; ++b) {
            bases[static_cast<size_t>(from) + static_cast<size_t>(b)] = bit(first + b);
        }
    }
    const auto places = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(used) + 1));
    return {shape, std::move(bases), places, at};
}

LinearLayout LinearLayout::strided(int64_t size, int64_t stride, const Loc &at) {
    return from_strides({size}, {stride}, at);
}

LinearLayout LinearLayout::blocked(const Shape &shape, const Shape &block, const Loc &at) {
    const int bits = bits_of(shape, at);
    require_rank(shape, block, "block", at);
    bits_of(block, at);
    // Bits of a place, lowest first: those inside a block, last dimension first, then those of the
    // blocks.
    std::vector<int64_t> bases(static_cast<size_t>(bits));
    int inside = 0;
    for (const int64_t extent : block) {
        inside += log2_of(extent);
    }
    int low = 0;
    int high = inside;
    int from = 0;
    for (size_t dim = shape.size(); dim-- > 0;) {
        if (block[dim] > shape[dim]) {
            fail(at, "block " + shape_text(block) + " does not divide shape " + shape_text(shape));
        }
        const int own = log2_of(shape[dim]);
        for (int b = 0; b < own; ++b) {
            bases[static_cast<size_t>(from) + static_cast<size_t>(b)] =
                bit(b < log2_of(block[dim]) ? low++ : high++);
        }
        from += own;
    }
    return {shape, std::move(bases), bit(bits), at};
}

LinearLayout LinearLayout::swizzle(int64_t size, int bits, int base, int shift, const Loc &at) {
    const int all = bits_of({size}, at);
    if (bits < 0 || base < 0 || shift < 1 || bits > max_bits || base > max_bits ||
        shift > max_bits || base + shift + bits > all) {
        fail(at,
             "swizzle of " + std::to_string(bits) + " bits, base " + std::to_string(base) +
                 ", shift " + std::to_string(shift) + " does not fit " + std::to_string(size) +
                 " places",
             "bits and base are at least 0, shift at least 1, and 2^(base + shift + bits) at most "
             "the size");
    }
    std::vector<int64_t> bases;
    for (int b = 0; b < all; ++b) {
        const bool moves = b >= base + shift && b < base + shift + bits;
        bases.push_back(bit(b) ^ (moves ? bit(b - shift) : 0));
    }
    return {{size}, std::move(bases), size, at};
}

LinearLayout LinearLayout::compose(const LinearLayout &inner, const Loc &at) const {
    if (inner.places() > size()) {
        fail(at, "compose: " + inner.str() + " has " + std::to_string(inner.places()) +
                     " places, " + str() + " takes " + std::to_string(size()) + " indices");
    }
    std::vector<int64_t> bases;
    for (const int64_t base : inner.bases_) {
        bases.push_back(apply(base, at));
    }
    return {inner.shape_, std::move(bases), places_, at};
}

int64_t LinearLayout::apply(int64_t index, const Loc &at) const {
    if (index < 0 || index >= size()) {
        fail(at, "index " + std::to_string(index) + " is out of range for size " +
                     std::to_string(size()));
    }
    int64_t place = 0;
    for (size_t i = 0; i < bases_.size(); ++i) {
        if ((index & bit(static_cast<int>(i))) != 0) {
            place ^= bases_[i];
        }
    }
    return place;
}

int64_t LinearLayout::apply(const Shape &coordinates, const Loc &at) const {
    require_rank(shape_, coordinates, "coordinates", at);
    int64_t index = 0;
    for (size_t dim = 0; dim < shape_.size(); ++dim) {
        if (coordinates[dim] < 0 || coordinates[dim] >= shape_[dim]) {
            fail(at, "coordinate " + std::to_string(coordinates[dim]) +
                         " is out of range for extent " + std::to_string(shape_[dim]));
        }
        index = index * shape_[dim] + coordinates[dim];
    }
    return apply(index, at);
}

int LinearLayout::rank() const {
    return static_cast<int>(eliminate(bases_).image.size());
}

std::vector<int64_t> LinearLayout::kernel() const {
    std::vector<int64_t> result = eliminate(bases_).kernel;
    std::ranges::sort(result);
    return result;
}

bool LinearLayout::is_surjective() const {
    return bit(rank()) == places_;
}

LinearLayout LinearLayout::inverse(const Loc &at) const {
    if (!is_injective() || !is_surjective()) {
        fail(at, "inverse: " + str() + " is not bijective: rank " + std::to_string(rank()) +
                     " of " + std::to_string(bases_.size()) + " index bits and " +
                     std::to_string(log2_of(places_)) + " place bits");
    }
    const Echelon echelon = eliminate(bases_);
    std::vector<int64_t> bases;
    for (size_t b = 0; b < bases_.size(); ++b) {
        int64_t value = bit(static_cast<int>(b));
        int64_t source = 0;
        for (const auto &[image, from] : echelon.image) {
            if ((value ^ image) < value) {
                value ^= image;
                source ^= from;
            }
        }
        bases.push_back(source);
    }
    return {{places_}, std::move(bases), size(), at};
}

std::string LinearLayout::str() const {
    std::string text = "LinearLayout(" + shape_text(shape_) + " -> " + std::to_string(places_);
    for (size_t i = 0; i < bases_.size(); ++i) {
        text += (i == 0 ? ": " : " ") + std::to_string(bases_[i]);
    }
    return text + ")";
}

}  // namespace pto::wsp
