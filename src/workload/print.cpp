#include <algorithm>
#include <cctype>
#include <set>
#include <unordered_map>

#include "pto/wsp/support/text.h"
#include "pto/wsp/workload/names.h"
#include "pto/wsp/workload/workload.h"
#include "workload/node_visit.h"
#include "workload/storage.h"

namespace pto::wsp::workload {

std::string name_text(const std::string &name) {
    const auto letter = [](char c) {
        return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_';
    };
    const bool identifier =
        !name.empty() && letter(name[0]) && std::ranges::all_of(name, [&](char c) {
            return letter(c) || c == '.' || c == '$' ||
                   std::isdigit(static_cast<unsigned char>(c)) != 0;
        });
    return identifier ? name : quoted(name);
}

namespace {

constexpr size_t most_printed_values = 64;

class Printer {
public:
    Printer(const Workload &workload, bool with_data) : workload_(workload), with_data_(with_data) {
        name_all(workload.tensors(), tensors_);
        name_all(workload.kernels(), kernels_);
        name_all(workload.channels(), channels_);
        name_all(workload.events(), events_);
        for_each_node(*workload.root, [&](const Node &node, const LoopPath &) {
            const auto *event = std::get_if<EventNode>(&node.kind);
            if (event != nullptr && event->after) {
                marks_.insert(event->after->begin(), event->after->end());
            }
        });
    }

    std::string print() {
        print_tensors();
        for (const KernelPtr &kernel : workload_.kernels()) {
            print_kernel(*kernel);
        }
        for (const ChannelPtr &channel : workload_.channels()) {
            line("channel " + channel_text(channel) + ": " + std::to_string(channel->depth));
        }
        for (const EventPtr &event : workload_.events()) {
            line("event " + event_text(event) + ": " + std::to_string(event->depth));
        }
        if (with_data_) {
            print_data();
        }
        line("workload " + name_text(workload_.name) + " {");
        print_body(*workload_.root);
        line("}");
        return text_;
    }

private:
    /// A name for each, different from all others.
    template <class Pointer, class T>
    static void name_all(const std::vector<Pointer> &items,
                         std::unordered_map<const T *, std::string> &names) {
        std::set<std::string> taken;
        for (const auto &item : items) {
            taken.insert(item->name);
        }
        std::set<std::string> used;
        for (const auto &item : items) {
            std::string name = item->name;
            for (int n = 1; used.contains(name) || (n > 1 && taken.contains(name)); ++n) {
                name = item->name + "." + std::to_string(n);
            }
            used.insert(name);
            names.emplace(item.get(), name);
        }
    }

    void line(const std::string &text) {
        text_ += std::string(static_cast<size_t>(depth_) * 2, ' ') + text + "\n";
    }

    void print_tensors() {
        const std::vector<TensorPtr> tensors = workload_.tensors();
        const std::vector<int> storages = storage_numbers(tensors);
        for (size_t i = 0; i < tensors.size(); ++i) {
            const TensorView &view = tensors[i]->view;
            std::string text = "tensor " + name_text(tensors_.at(tensors[i].get())) + ": " +
                               name(view.dtype) + shape_text(view.shape);
            text += tensors[i]->own ? " own" : "";
            if (view.strides != contiguous_strides(view.shape)) {
                text += " strides " + shape_text(view.strides);
            }
            const auto first =
                static_cast<size_t>(std::ranges::find(storages, storages[i]) - storages.begin());
            if (first != i) {
                const int64_t bytes = static_cast<const char *>(view.data) -
                                      static_cast<const char *>(tensors[first]->view.data);
                text += " at " + name_text(tensors_.at(tensors[first].get())) +
                        (bytes < 0 ? " - " : " + ") + std::to_string(bytes < 0 ? -bytes : bytes);
            }
            line(text);
        }
    }

    /// What the workload uses and knows; of a long table how long it is.
    void print_data() {
        for (const std::string &symbol : workload_.symbols()) {
            const auto found = workload_.data.symbols.find(symbol);
            if (found != workload_.data.symbols.end()) {
                line("symbol " + symbol + " = " + std::to_string(found->second));
            }
        }
        for (const std::string &table : workload_.tables()) {
            const auto found = workload_.data.tables.find(table);
            if (found != workload_.data.tables.end()) {
                const Shape values(found->second->begin(), found->second->end());
                const bool is_short = values.size() <= most_printed_values;
                line("table " + table +
                     (is_short ? " = " + shape_text(values)
                               : ": " + std::to_string(values.size()) + " values"));
            }
        }
    }

    void print_kernel(const Kernel &kernel) {
        std::vector<std::string> params;
        for (const kernel::Param &param : kernel.params) {
            const bool tile = param.kind == kernel::Param::Kind::Tile;
            params.push_back(
                (tile ? kernel::name(param.direction) + " " : "") + name_text(param.name) + ": " +
                name(param.type.dtype) +
                (tile ? "[" + param.type.rows.str() + ", " + param.type.columns.str() + "]" : ""));
        }
        line("kernel " + name_text(kernels_.at(&kernel)) + "(" + join(params) + ")");
    }

    void print_body(const Node &body) {
        depth_++;
        const auto *group = std::get_if<GroupNode>(&body.kind);
        if (group != nullptr && !group->sequential && group->children.size() != 1) {
            print_children(*group);
        } else {
            print_node(body);
        }
        depth_--;
    }

    void print_children(const GroupNode &group) {
        for (const NodePtr &child : group.children) {
            print_node(*child);
        }
    }

    void print_node(const Node &node) {
        std::visit(
            Overloaded{
                [&](const TaskNode &task) { print_task(task); },
                [&](const LoopNode &loop) {
                    print_loop(loop);
                    print_body(*loop.body);
                    line("}");
                },
                [&](const GroupNode &group) {
                    line(group.sequential ? "sequential {" : "combine {");
                    depth_++;
                    print_children(group);
                    depth_--;
                    line("}");
                },
                [&](const CallNode &call) {
                    line("call " + name_text(call.name) + " {");
                    print_body(*call.body);
                    line("}");
                },
                [&](const BranchNode &branch) { print_branch(branch); },
                [&](const SlotNode &slot) { print_slot(slot); },
                [&](const SendNode &send) { print_send(send); },
                [&](const ConsumeNode &consume) { print_consume(consume); },
                [&](const CloseNode &close) { line("close " + channel_text(close.channel)); },
                [&](const NetNode &net) { print_net(net); },
                [&](const EventNode &event) { print_event(event); },
            },
            node.kind);
    }

    std::string event_text(const EventPtr &event) const {
        return name_text(events_.at(event.get()));
    }

    void print_event(const EventNode &event) {
        std::string text = event.records ? "record " : "synchronize ";
        text += event_text(event.event);
        if (event.after) {
            std::vector<std::string> marks;
            std::ranges::transform(*event.after, std::back_inserter(marks),
                                   [](int mark) { return std::to_string(mark); });
            text += " after [" + join(marks) + "]";
        }
        line(text + (event.timeout_s ? " timeout " + number_text(*event.timeout_s) : ""));
    }

    std::string channel_text(const ChannelPtr &channel) const {
        return name_text(channels_.at(channel.get()));
    }

    std::string channels_text(const std::vector<ChannelPtr> &channels) const {
        std::vector<std::string> names;
        std::ranges::transform(channels, std::back_inserter(names),
                               [&](const ChannelPtr &channel) { return channel_text(channel); });
        return join(names);
    }

    /// ` as t, tile`
    static std::string names_of(const LoopVar &variable) {
        std::vector<std::string> names;
        std::ranges::transform(variable.names, std::back_inserter(names), name_text);
        return names.empty() ? "" : " as " + join(names);
    }

    void print_send(const SendNode &send) {
        const std::string how =
            send.result < 0 ? "send" : "try " + std::to_string(send.result) + " send";
        line(how + " " + channel_text(send.channel) + " token " + send.number.id + " {");
        print_body(*send.body);
        line("}");
    }

    void print_consume(const ConsumeNode &consume) {
        line("consume " + channels_text(consume.channels) + " token " + consume.number.id +
             " from " + consume.which.id);
        depth_++;
        for (const LoopVar &value : consume.values) {
            line("value " + value.id + names_of(value));
        }
        depth_--;
        line("{");
        print_body(*consume.body);
        line("}");
    }

    void print_net(const NetNode &net) {
        line("net {");
        depth_++;
        for (const NetNode::Process &process : net.processes) {
            const std::string consumes = channels_text(process.consumes);
            const std::string produces = channels_text(process.produces);
            line("process " + name_text(process.name) +
                 (consumes.empty() ? "" : " consumes " + consumes) +
                 (produces.empty() ? "" : " produces " + produces) + " {");
            print_body(*process.body);
            line("}");
        }
        depth_--;
        line("}");
    }

    void print_loop(const LoopNode &loop) {
        const LoopVar &variable = loop.variable;
        const std::string known =
            std::string(variable.hidden ? " hidden" : "") + names_of(variable) + " {";
        if (variable.value) {
            line("let " + variable.id + " = " + variable.value->str() + known);
            return;
        }
        std::string kind = loop.sequential ? "seq " : "parallel ";
        if (loop.depth > 0) {
            kind = "pipe(" + std::to_string(loop.depth) + ") ";
        }
        line(kind + variable.id + " in " +
             (variable.axis.name.empty() ? "" : name_text(variable.axis.name) + ": ") +
             variable.axis.str() + known);
    }

    void print_branch(const BranchNode &branch) {
        for (size_t i = 0; i < branch.cases.size(); ++i) {
            line((i == 0 ? "when " : "} orwhen ") + branch.cases[i].predicate.str() + " {");
            print_body(*branch.cases[i].body);
        }
        if (branch.otherwise != nullptr) {
            line("} otherwise {");
            print_body(*branch.otherwise);
        }
        line("}");
    }

    void print_slot(const SlotNode &slot) {
        const std::string value = std::visit(
            Overloaded{[](const ScalarExpr &expr) { return expr.str(); },
                       [&](const Region &region) { return "element " + region_text(region); }},
            slot.value);
        line("slot " + std::to_string(slot.slot) + " = " + value);
    }

    std::string region_text(Region region) const {
        auto tensor = std::make_shared<Tensor>(*region.tensor);
        tensor->name = tensors_.at(region.tensor.get());
        region.tensor = std::move(tensor);
        return region.str();
    }

    void print_task(const TaskNode &task) {
        std::vector<std::string> axes;
        for (const ScalarExpr &axis : task.axes) {
            axes.push_back(axis.str());
        }
        std::vector<std::string> arguments;
        for (const TaskArgument &argument : task.arguments) {
            arguments.push_back(std::visit(Overloaded{
                                               [&](const Region &region) {
                                                   return kernel::name(argument.direction) + " " +
                                                          region_text(region);
                                               },
                                               [](const ScalarExpr &expr) { return expr.str(); },
                                               [](double value) { return number_text(value); },
                                               [](uint64_t value) { return std::to_string(value); },
                                           },
                                           argument.value));
        }
        line("task " + name_text(kernels_.at(task.kernel.get())) +
             (axes.empty() ? "" : "[" + join(axes) + "]") + "(" + join(arguments) + ")" +
             (marks_.contains(task.mark) ? " mark " + std::to_string(task.mark) : ""));
    }

    const Workload &workload_;
    bool with_data_;
    std::unordered_map<const Tensor *, std::string> tensors_;
    std::unordered_map<const Kernel *, std::string> kernels_;
    std::unordered_map<const Channel *, std::string> channels_;
    std::unordered_map<const Event *, std::string> events_;
    std::set<int> marks_;  ///< of tasks that records come after
    std::string text_;
    int depth_ = 0;
};

}  // namespace

std::string Workload::str() const {
    return Printer(*this, true).print();
}

std::string Workload::code_text() const {
    return Printer(*this, false).print();
}

}  // namespace pto::wsp::workload
