#include "pto/wsp/workload/channel.h"

#include <algorithm>

#include "pto/wsp/support/text.h"
#include "pto/wsp/workload/workload.h"

namespace pto::wsp::workload {

namespace {

constexpr int64_t most_tokens = int64_t{1} << 20;

}  // namespace

ChannelPtr make_channel(std::string name, int64_t depth, Loc at) {
    if (depth < 0 || depth > most_tokens) {
        throw CompileError(at,
                           "channel " + quoted(name) + ": the depth is " + std::to_string(depth) +
                               ", expected 0..." + std::to_string(most_tokens),
                           {}, "0 is a rendezvous, 2 a double buffer");
    }
    auto channel = std::make_shared<Channel>();
    channel->name = std::move(name);
    channel->depth = depth;
    channel->at = std::move(at);
    return channel;
}

TensorPtr Channel::payload(size_t number, const kernel::TileType &type, const std::string &name,
                           const Loc &at) {
    const auto rows = type.rows.as_constant();
    const auto columns = type.columns.as_constant();
    const std::string what = "channel " + quoted(this->name) + ": ";
    if (!rows || !columns) {
        throw TypeCheckError(at,
                             what + "the tile " + name + " has the type " + type.user_str() +
                                 ", whose size is not known",
                             {}, "name a buffer, or give the parameter a size");
    }
    const Shape shape{slots(), *rows, *columns};
    if (number > payloads.size()) {
        throw InternalError("channels", "payloads are numbered with a gap");
    }
    if (number == payloads.size()) {
        Tensor tensor;
        tensor.name = this->name + "." + name;
        tensor.view.dtype = type.dtype;
        tensor.view.shape = shape;
        tensor.view.strides = contiguous_strides(shape);
        tensor.at = at;
        tensor.own = true;
        payloads.push_back(std::make_shared<const Tensor>(std::move(tensor)));
    }
    const TensorView &view = payloads[number]->view;
    if (view.dtype != type.dtype || view.shape != shape) {
        const kernel::TileType known{view.dtype, view.shape[1], view.shape[2]};
        throw TypeCheckError(at,
                             what + "its tokens carry " + known.user_str() + ", but " + name +
                                 " is " + type.user_str(),
                             {{payloads[number]->at, "first used here"}});
    }
    return payloads[number];
}

}  // namespace pto::wsp::workload
