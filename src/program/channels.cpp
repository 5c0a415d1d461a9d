#include "pto/wsp/program/channels.h"

#include <fmt/format.h>

#include "building.h"

namespace pto::wsp {

using Sending = workload::Builder::Sending;

void Channel::close(const Loc &at) const {
    Building::required("close", at).builder.close_channel(handle_, at);
}

AxisVar ChannelToken::value(size_t number, const Loc &at) const {
    Building &building = Building::required("a token", at);
    return Affine::variable(building.builder.token_value(id_, number, {}, at));
}

ScalarExpr ChannelToken::is_from(const Channel &channel, const Loc &at) const {
    Building &building = Building::required("a token", at);
    for (size_t i = 0; i < channels_.size(); ++i) {
        if (channels_[i].handle() == channel.handle()) {
            const std::string which = building.builder.token_channel(id_, at);
            return ScalarExpr::make(ScalarExpr::Op::Eq,
                                    {ScalarExpr::variable(which), static_cast<int64_t>(i)});
        }
    }
    throw CompileError(at, fmt::format("the token does not come from '{}'", channel.name()));
}

Tensor ChannelToken::tile(size_t number, const Loc &at) const {
    Building &building = Building::required("a token", at);
    return {building.builder.token_payload(id_, number, std::nullopt, "tile", at), true};
}

Tensor sent_tile(const kernel::TileType &type, size_t number, const Loc &at) {
    Building &building = Building::required("sent_tile", at);
    return {building.builder.sent_payload(number, type, "tile", at), true};
}

namespace {

int send_call(const char *what, const Channel &channel, const std::function<void()> &call,
              Sending how, const Loc &at) {
    Building &building = Building::required(what, at);
    const int slot = building.builder.open_send(channel.handle(), how, at);
    call();
    if (building.builder.statements() == 0) {
        throw CompileError(at, fmt::format("{}: no kernel is called", what));
    }
    building.builder.close(at);
    return slot;
}

}  // namespace

void send(const Channel &channel, const std::function<void()> &call, const Loc &at) {
    send_call("send", channel, call, Sending::Waits, at);
}

ScalarExpr try_send(const Channel &channel, const std::function<void()> &call, const Loc &at) {
    return ScalarExpr::slot(send_call("try_send", channel, call, Sending::Tries, at));
}

void consume(const std::vector<Channel> &channels,
             const std::function<void(const ChannelToken &)> &body, const Loc &at) {
    Building &building = Building::required("consume", at);
    std::vector<workload::ChannelPtr> handles;
    for (const Channel &channel : channels) {
        handles.push_back(channel.handle());
    }
    body(ChannelToken(building.builder.open_consume(std::move(handles), at), channels));
    building.builder.close(at);
}

std::vector<Process> replicate(const Process &worker, size_t count) {
    std::vector<Process> result(count, worker);
    for (size_t i = 0; i < count; ++i) {
        result[i].name += fmt::format(".{}", i + 1);
    }
    return result;
}

void connect(const std::vector<Process> &processes, const Loc &at) {
    Building &building = Building::required("connect", at);
    for (const Process &process : processes) {
        std::vector<workload::ChannelPtr> consumes;
        std::vector<workload::ChannelPtr> produces;
        for (const Channel &channel : process.consumes) {
            consumes.push_back(channel.handle());
        }
        for (const Channel &channel : process.produces) {
            produces.push_back(channel.handle());
        }
        building.builder.open_process(process.name, std::move(consumes), std::move(produces),
                                      process.at);
        process.body();
        building.builder.close(process.at);
    }
}

}  // namespace pto::wsp
