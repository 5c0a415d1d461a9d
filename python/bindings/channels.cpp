#include "channels.h"

#include <utility>

namespace pto::wsp::python {

namespace {

using workload::Builder;
using workload::Channel;
using workload::ChannelPtr;

Builder::Sending sending(bool tries) {
    return tries ? Builder::Sending::Tries : Builder::Sending::Waits;
}

}  // namespace

void bind_channels(py::module_ &module) {
    py::class_<Channel, ChannelPtr>(module, "Channel")
        .def(py::init([](std::string name, int64_t depth) {
                 return workload::make_channel(std::move(name), depth, user_loc());
             }),
             py::arg("name"), py::arg("depth"))
        .def_readonly("name", &Channel::name)
        .def_readonly("depth", &Channel::depth)
        .def_property_readonly("size", [](const Channel &channel) { return channel.size->load(); })
        .def_property_readonly("payloads",
                               [](const Channel &channel) { return channel.payloads.size(); })
        .def(
            "set_payload",
            [](Channel &channel, const kernel::TileType &type) {
                channel.payload(0, type, "tile", user_loc());
            },
            py::arg("type"));
}

void bind_channel_statements(py::class_<Builder> &builder) {
    builder.def("open_scope", [](Builder &self) { self.open_scope(user_loc()); })
        .def(
            "open_process",
            [](Builder &self, std::string name, std::vector<ChannelPtr> consumes,
               std::vector<ChannelPtr> produces, const Loc &at) {
                self.open_process(std::move(name), std::move(consumes), std::move(produces), at);
            },
            py::arg("name"), py::arg("consumes"), py::arg("produces"), py::arg("at"))
        .def(
            "send_last",
            [](Builder &self, const ChannelPtr &channel, bool tries) {
                return self.send_last(channel, sending(tries), user_loc());
            },
            py::arg("channel"), py::arg("tries"))
        .def(
            "open_send",
            [](Builder &self, const ChannelPtr &channel, bool tries) {
                return self.open_send(channel, sending(tries), user_loc());
            },
            py::arg("channel"), py::arg("tries"))
        .def(
            "sent_payload",
            [](Builder &self, size_t number, const kernel::TileType &type,
               const std::string &name) {
                return self.sent_payload(number, type, name, user_loc());
            },
            py::arg("number"), py::arg("type"), py::arg("name"))
        .def(
            "open_consume",
            [](Builder &self, std::vector<ChannelPtr> channels) {
                return self.open_consume(std::move(channels), user_loc());
            },
            py::arg("channels"))
        .def(
            "token_value",
            [](Builder &self, const std::string &token, size_t number,
               std::vector<std::string> names) {
                return self.token_value(token, number, std::move(names), user_loc());
            },
            py::arg("token"), py::arg("number"), py::arg("names"))
        .def(
            "token_channel",
            [](Builder &self, const std::string &token) {
                return self.token_channel(token, user_loc());
            },
            py::arg("token"))
        .def(
            "token_payload",
            [](Builder &self, const std::string &token, size_t number,
               const std::optional<kernel::TileType> &type, const std::string &name) {
                return self.token_payload(token, number, type, name, user_loc());
            },
            py::arg("token"), py::arg("number"), py::arg("type"), py::arg("name"))
        .def(
            "close_channel",
            [](Builder &self, const ChannelPtr &channel) {
                self.close_channel(channel, user_loc());
            },
            py::arg("channel"));
}

}  // namespace pto::wsp::python
