#include "workload/stored_buffers.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "pto/wsp/support/text.h"
#include "workload/storage.h"

namespace pto::wsp::workload {

namespace {

/// Tensors of one view are one buffer, whoever wrapped the array.
bool same_buffer(const Tensor &a, const Tensor &b) {
    return &a == &b ||
           (a.view.data != nullptr && a.view.data == b.view.data && a.view.dtype == b.view.dtype &&
            a.view.shape == b.view.shape && a.view.strides == b.view.strides);
}

/// The channels whose tokens a place belongs to.
struct Around {
    const SendNode *send = nullptr;
    std::vector<const ConsumeNode *> consumes;  ///< outermost first
};

bool uses_any(const Region &region, const std::set<std::string> &names) {
    return std::ranges::any_of(region.offsets, [&](const Affine &offset) {
        return std::ranges::any_of(offset.terms(),
                                   [&](const auto &term) { return names.contains(term.first); });
    });
}

bool has_variables(const Region &region) {
    return std::ranges::any_of(region.offsets,
                               [](const Affine &offset) { return !offset.is_constant(); });
}

/// An access to a tensor.
struct Touch {
    TensorPtr tensor;
    ChannelPtr sent;      ///< written by the task that is sent there, at a fixed place
    ChannelPtr consumed;  ///< by a task that consumes a token of it, at a place that has none of it
    std::string kernel;
    Loc at;
};

/// Finds the buffers.
class Finder {
public:
    explicit Finder(const Node &root) { walk(root, {}); }

    /// The channel in whose slots `tensor` is stored; null for what stays as it is.
    ChannelPtr channel_of(const TensorPtr &tensor) const {
        for (const Touch &sent : touches_) {
            if (sent.sent == nullptr || !same_buffer(*sent.tensor, *tensor)) {
                continue;
            }
            for (const Touch &read : touches_) {
                if (read.consumed == sent.sent && same_buffer(*read.tensor, *tensor)) {
                    check_others(sent);
                    return sent.sent;
                }
            }
        }
        return nullptr;
    }

private:
    void walk(const Node &node, Around around) {
        if (const auto *task = std::get_if<TaskNode>(&node.kind)) {
            add(*task, node.at, around);
        } else if (const auto *slot = std::get_if<SlotNode>(&node.kind)) {
            if (const auto *region = std::get_if<Region>(&slot->value)) {
                touches_.push_back({region->tensor, nullptr, consumed_by(*region, around),
                                    "slot_load_u64", node.at});
            }
        } else if (const auto *send = std::get_if<SendNode>(&node.kind)) {
            around.send = send;
        } else if (const auto *consume = std::get_if<ConsumeNode>(&node.kind)) {
            around.consumes.push_back(consume);
        }
        for_each_child(node, [&](const NodePtr &child) { walk(*child, around); });
    }

    void add(const TaskNode &task, const Loc &at, const Around &around) {
        for (const TaskArgument &argument : task.arguments) {
            const auto *region = std::get_if<Region>(&argument.value);
            if (region == nullptr || region->tensor->own) {
                continue;
            }
            Touch touch{region->tensor, nullptr, nullptr, task.kernel->name, at};
            if (argument.direction == kernel::Direction::Out) {
                const bool fixed = around.send != nullptr && !has_variables(*region);
                touch.sent = fixed ? around.send->channel : nullptr;
            } else {
                touch.consumed = consumed_by(*region, around);
            }
            touches_.push_back(std::move(touch));
        }
    }

    /// Of the innermost `consume` of one channel, unless its token decides the place.
    static ChannelPtr consumed_by(const Region &region, const Around &around) {
        if (around.consumes.empty() || around.consumes.back()->channels.size() > 1) {
            return nullptr;
        }
        const ConsumeNode &consume = *around.consumes.back();
        std::set<std::string> names{consume.number.id};
        for (const LoopVar &value : consume.values) {
            names.insert(value.id);
        }
        return uses_any(region, names) ? nullptr : consume.channels.front();
    }

    void check_others(const Touch &sent) const {
        std::vector<TensorPtr> pair{sent.tensor, nullptr};
        for (const Touch &other : touches_) {
            const bool same = same_buffer(*other.tensor, *sent.tensor);
            pair[1] = other.tensor;
            const std::vector<int> storages = storage_numbers(pair);
            if (!same && storages[0] != storages[1]) {
                continue;
            }
            if (!same || (other.sent != sent.sent && other.consumed != sent.sent)) {
                throw CompileError(other.at,
                                   other.kernel + " uses " + other.tensor->name +
                                       ", which is stored once for each token of channel " +
                                       quoted(sent.sent->name),
                                   {{sent.at, sent.kernel + " writes it for a token here"}},
                                   "index it by the token, as in " + sent.tensor->name +
                                       "[i] and " + sent.tensor->name +
                                       "[t], or use it only where the token is");
            }
        }
    }

    std::vector<Touch> touches_;
};

/// Puts the slots into the tree.
class Writer {
public:
    explicit Writer(const Node &root) : finder_(root) {}

    NodePtr write(const NodePtr &node) { return write(node, {}); }

private:
    /// The variables that say which slot a token has, by channel.
    using Slots = std::map<const Channel *, std::string>;

    NodePtr write(const NodePtr &node, Slots slots) {
        if (std::holds_alternative<TaskNode>(node->kind) ||
            std::holds_alternative<SlotNode>(node->kind)) {
            return write_site(*node, slots);
        }
        const LoopVar *number = nullptr;
        const Channel *channel = nullptr;
        if (const auto *send = std::get_if<SendNode>(&node->kind)) {
            number = &send->number;
            channel = send->channel.get();
        } else if (const auto *consume = std::get_if<ConsumeNode>(&node->kind);
                   consume != nullptr && consume->channels.size() == 1) {
            number = &consume->number;
            channel = consume->channels.front().get();
        }
        const std::string slot = number == nullptr ? "" : "slot_" + number->id;
        if (number != nullptr) {
            slots[channel] = slot;
        }
        const bool had = used_.contains(slot);
        Node result =
            with_children(*node, [&](const NodePtr &child) { return write(child, slots); });
        if (number != nullptr && !had && used_.contains(slot)) {
            result = with_children(result, [&](const NodePtr &child) {
                return in_slot(child, slot, *number, *channel);
            });
        }
        return std::make_shared<const Node>(std::move(result));
    }

    static NodePtr in_slot(const NodePtr &body, const std::string &slot, const LoopVar &number,
                           const Channel &channel) {
        LoopNode loop;
        loop.variable.id = slot;
        loop.variable.axis.size = 1;
        loop.variable.value = ScalarExpr::make(ScalarExpr::Op::Mod,
                                               {ScalarExpr::variable(number.id), channel.slots()});
        loop.variable.hidden = true;
        loop.variable.at = number.at;
        loop.body = body;
        return std::make_shared<const Node>(Node{std::move(loop), body->at});
    }

    NodePtr write_site(const Node &node, const Slots &slots) {
        Node result = node;
        if (auto *task = std::get_if<TaskNode>(&result.kind)) {
            for (TaskArgument &argument : task->arguments) {
                if (auto *region = std::get_if<Region>(&argument.value)) {
                    write_region(*region, slots);
                }
            }
        } else if (auto *slot = std::get_if<SlotNode>(&result.kind)) {
            if (auto *region = std::get_if<Region>(&slot->value)) {
                write_region(*region, slots);
            }
        }
        return std::make_shared<const Node>(std::move(result));
    }

    ChannelPtr channel_of(const TensorPtr &tensor) {
        const auto [known, added] = channels_.try_emplace(tensor.get());
        if (added) {
            known->second = finder_.channel_of(tensor);
        }
        return known->second;
    }

    void write_region(Region &region, const Slots &slots) {
        const ChannelPtr channel = channel_of(region.tensor);
        if (channel == nullptr) {
            return;
        }
        const std::string &slot = slots.at(channel.get());
        used_.insert(slot);
        region.tensor = stored(region.tensor, *channel);
        region.offsets.insert(region.offsets.begin(), Affine::variable(slot));
        region.extents.insert(region.extents.begin(), 1);
        for (int &dim : region.keep) {
            dim++;
        }
        for (Region::Bound &bound : region.bounds) {
            bound.dim++;
        }
    }

    TensorPtr stored(const TensorPtr &tensor, const Channel &channel) {
        for (const auto &[known, made] : stored_) {
            if (same_buffer(*known, *tensor)) {
                return made;
            }
        }
        Tensor made;
        made.name = tensor->name;
        made.at = tensor->at;
        made.own = true;
        made.view.dtype = tensor->view.dtype;
        made.view.shape = tensor->view.shape;
        made.view.shape.insert(made.view.shape.begin(), channel.slots());
        made.view.strides = contiguous_strides(made.view.shape);
        stored_.emplace_back(tensor, std::make_shared<const Tensor>(std::move(made)));
        return stored_.back().second;
    }

    Finder finder_;
    std::map<const Tensor *, ChannelPtr> channels_;
    std::vector<std::pair<TensorPtr, TensorPtr>> stored_;
    std::set<std::string> used_;
};

}  // namespace

NodePtr with_stored_buffers(const NodePtr &root) {
    return Writer(*root).write(root);
}

}  // namespace pto::wsp::workload
