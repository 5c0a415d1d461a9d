#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "rules_graph.h"

namespace pto::wsp::kernel {

/// The direction in which blocks lie beside each other.
enum class Axis : uint8_t { Rows, Columns };

/// Why blocks are not parts of one tile.
enum class Unjoined : uint8_t {
    Carried,    ///< a block depends on what other blocks make
    Window,     ///< they are no neighbouring windows of something that is only read
    Operation,  ///< an operation does not work on each block by itself
};

/// A tile that is not made yet: a value of the old program, or an operation on others.
struct Joined {
    Value value = -1;
    Op op = Op::Constant;
    Attributes attributes = {};
    std::vector<std::shared_ptr<const Joined>> operands = {};
};
using JoinedPtr = std::shared_ptr<const Joined>;

/// What many blocks are as one tile. The blocks are those that the iterations of a loop make, or
/// values that stand one after the other:
/// ```
/// for i in [0, 4):  s = q @ load(K, 16 * i, 0, [16, d]).T     -->  q @ load(K, [64, d]).T
/// ```
/// Each element of the whole is what it is in its block: element by element nothing changes.
class BlockJoin {
public:
    /// Blocks of `loop`, which runs from `lo` to `hi`.
    BlockJoin(const TileGraph &graph, rewrite::NodeId loop, int64_t lo, int64_t hi);
    /// `count` blocks in a line; one block is the whole.
    BlockJoin(const TileGraph &graph, int64_t count);

    /// `blocks` (of a loop: the one value of its body) beside each other; throws an `Unjoined`.
    JoinedPtr join(const std::vector<Value> &blocks, Axis axis);

private:
    /// coefficient * index + constant + the sum of others: an i32 scalar.
    struct Linear {
        int64_t coefficient = 0;
        int64_t constant = 0;
        std::vector<Value> others = {};
    };

    JoinedPtr joined_node(const std::vector<Value> &blocks, Axis axis);
    JoinedPtr joined_window(const std::vector<Value> &blocks, Axis axis);
    JoinedPtr joined_elementwise(const std::vector<Value> &blocks, Axis axis);
    JoinedPtr joined_product(const std::vector<Value> &blocks, Axis axis);
    JoinedPtr joined_positions(const std::vector<Value> &blocks, Axis axis);
    JoinedPtr joined_mask(const std::vector<Value> &blocks, Axis axis);
    JoinedPtr joined_leaf(const std::vector<Value> &blocks, Axis axis);
    /// The tile that all blocks have in common.
    JoinedPtr shared(const std::vector<Value> &blocks);
    /// An operand of an elementwise operation: joined, or shared where one element is spread.
    JoinedPtr part(const std::vector<Value> &blocks, Axis axis);
    std::vector<Value> operand(const std::vector<Value> &blocks, size_t index) const;
    bool is_outside(Value value) const;
    bool all_same(const std::vector<Value> &blocks) const;
    std::optional<Linear> linear(Value scalar) const;
    /// The first of places that are `step` apart.
    JoinedPtr first_of(const std::vector<Value> &places, int64_t step) const;
    JoinedPtr scalar(const Linear &place) const;
    Affine size(const Affine &block) const;
    const Node &node(Value value) const;

    using Key = std::pair<std::vector<Value>, int>;

    const TileGraph &graph_;
    std::map<Key, JoinedPtr> known_;
    const Block *body_ = nullptr;  ///< of the loop
    int block_ = -1;
    int64_t lo_ = 0;
    int64_t count_;
};

/// Makes what `tile` is.
Value build(TileRebuild &to, const JoinedPtr &tile);

}  // namespace pto::wsp::kernel
