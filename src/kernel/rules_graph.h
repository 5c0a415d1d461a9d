#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "pto/wsp/kernel/builder.h"
#include "pto/wsp/kernel/program.h"
#include "pto/wsp/rewrite/rule.h"
#include "pto/wsp/support/reason.h"

namespace pto::wsp::kernel {

/// A tile program as the rewrite engine sees it: its nodes are the program's values and, after
/// them, its loops, operations `fori_loop` on (lo, hi). What no store needs has no uses. A uniform
/// tile, a constant or one that is repeated, is a known number.
class TileGraph final : public rewrite::Graph {
public:
    class Rebuild;

    explicit TileGraph(std::shared_ptr<const TileProgram> program);

    const std::shared_ptr<const TileProgram> &program() const { return program_; }
    const TileType &type(rewrite::NodeId value) const { return program_->type(value); }
    /// Of the node that makes `value`; empty for arguments.
    const Attributes &attributes(rewrite::NodeId value) const;
    /// A boolean attribute, false when absent.
    bool flag(rewrite::NodeId value, const char *name) const {
        return has_flag(attributes(value), name);
    }
    /// The attribute `value` of the constant that `value` is or repeats.
    const Attribute &number(rewrite::NodeId value) const;
    /// The nodes that use `value`, each once; `fori_loop` for what its body yields.
    std::vector<const Node *> users(rewrite::NodeId value) const;
    /// The `fori_loop` whose index `value` is, or null.
    const Node *loop_of_index(rewrite::NodeId value) const;
    /// The `fori_loop` that the node `loop` of this graph is.
    const Node &loop(rewrite::NodeId loop) const;
    const Block &body(rewrite::NodeId loop) const;
    /// Of the body of a loop, all the way down.
    bool has_store(rewrite::NodeId loop) const;
    /// Index of the block in which `value` is made; 0 outside of loops.
    int block_of(rewrite::NodeId value) const { return block_of_[static_cast<size_t>(value)]; }
    /// Whether some node, or a tile that a loop carries, is what no store needs.
    bool has_dead_nodes() const;

    rewrite::NodeId size() const override;
    rewrite::OpId op(rewrite::NodeId value) const override;
    std::span<const rewrite::NodeId> operands(rewrite::NodeId value) const override;
    int uses(rewrite::NodeId value) const override;
    std::optional<double> constant(rewrite::NodeId value) const override;
    Loc where(rewrite::NodeId value) const override;
    std::string text(rewrite::NodeId value) const override;
    std::shared_ptr<const rewrite::Graph> rebuild(const Replace &replace) const override;

private:
    const Node *node_of(rewrite::NodeId value) const;
    const Node *constant_of(rewrite::NodeId value) const;
    bool is_loop(rewrite::NodeId node) const { return node >= value_count(); }
    rewrite::NodeId value_count() const {
        return static_cast<rewrite::NodeId>(program_->values.size());
    }
    /// The node that stands for the loop that is node `n` of the program.
    rewrite::NodeId node_of_loop(int n) const;
    void find_blocks();
    void mark_live();
    bool stores(int block) const;

    std::shared_ptr<const TileProgram> program_;
    std::vector<int> loops_;     ///< nodes of the program
    std::vector<int> block_of_;  ///< of a value
    std::vector<int> uses_;
    std::vector<bool> live_;  ///< a node of the program
};

/// Copies a tile program through a Builder, so that equal nodes become one.
class TileGraph::Rebuild final : public rewrite::Rebuild {
public:
    Rebuild(const TileGraph &old, const Replace &replace);

    std::shared_ptr<const TileProgram> run();

    /// The graph that is being replaced.
    const TileGraph &old() const { return old_; }

    Value operator()(Value old) override { return map_[static_cast<size_t>(old)]; }
    /// An operation at the location of the node that is replaced.
    Value op(Op op, std::vector<Value> operands, Attributes attributes = {});
    /// Integers must be whole and in range of `dtype`.
    Value constant(double value, DType dtype);
    /// A tile of `type` whose every element is `value`.
    Value uniform(Number value, const TileType &type);
    /// The new operation that `old` is, on other operands.
    Value like(Value old, std::vector<Value> operands);
    /// `old` itself, outside of the loops in whose bodies none of its operands is made.
    Value hoisted(Value old);
    const TileType &type(Value made) const { return builder_.type(made); }

    /// The results of `loop`, which is replaced, are these.
    void give(rewrite::NodeId loop, const std::vector<Value> &results);
    /// The results of one iteration of `loop`, in its place.
    std::vector<Value> iterate_once(rewrite::NodeId loop);

private:
    void copy_block(int block);
    void copy_node(const Node &node);
    void copy_loop(const Node &node, int n);
    std::vector<Value> copy_body(int block, Value index, const std::vector<Value> &carries);
    Value replaced(const Node &node);
    void check_type(Value old, Value made) const;

    const TileGraph &old_;
    const Replace &replace_;
    Builder builder_;
    std::vector<Value> map_;
    Loc at_;
};

using TileRule = rewrite::RuleFor<TileGraph>;
using TileRebuild = TileGraph::Rebuild;

/// Each operation where it is first needed, from the stores on: programs that compute the same
/// become one text, in whatever order they were written.
std::shared_ptr<const TileProgram> in_order_of_need(const TileProgram &program);

/// Splits the rows of causal kernels into blocks, see rules_causal.cpp.
std::shared_ptr<const TileProgram> bound_causal_rows(std::shared_ptr<const TileProgram> program,
                                                     Reasons *reasons);

/// The tables, in the order in which they are applied.
const rewrite::Table &loop_rules();
const rewrite::Table &fold_rules();
const rewrite::Table &simplify_rules();
const rewrite::Table &mask_rules();
const rewrite::Table &online_rules();
const rewrite::Table &norm_rules();
const rewrite::Table &expand_rules();
const rewrite::Table &softmax_rules();
const rewrite::Table &scale_rules();

}  // namespace pto::wsp::kernel
