#include "pto/wsp/workload/nets.h"

#include <gmock/gmock.h>

#include "pto/wsp/workload/dependence.h"
#include "pto/wsp/workload/parse.h"
#include "workload/samples.h"

namespace pto::wsp::workload::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

const std::string header = "tensor X: f32[8, 4, 4]\n"
                           "tensor tile: f32[3, 4, 4] own\n"
                           "tensor Y: f32[8, 4, 4]\n"
                           "kernel load(in x: f32[4, 4], out y: f32[4, 4])\n"
                           "channel a: 2\n"
                           "channel b: 0\n";

const std::string net = header +
                        "workload w {\n"
                        "  net {\n"
                        "    process source produces a {\n"
                        "      seq i in Dense[8] {\n"
                        "        send a token n {\n"
                        "          let s = (n % 3) hidden {\n"
                        "            task load[i](in X[i, 0:4, 0:4], out tile[s, 0:4, 0:4])\n"
                        "          }\n"
                        "        }\n"
                        "      }\n"
                        "    }\n"
                        "    process middle consumes a produces b {\n"
                        "      consume a token m from f\n"
                        "        value t as t, tile\n"
                        "      {\n"
                        "        let r = (m % 3) hidden {\n"
                        "          try 7 send b token k {\n"
                        "            task load[t](in tile[r, 0:4, 0:4], out Y[t, 0:4, 0:4])\n"
                        "          }\n"
                        "        }\n"
                        "        close b\n"
                        "      }\n"
                        "    }\n"
                        "    process sink consumes b {\n"
                        "      consume b token q from g\n"
                        "      {\n"
                        "      }\n"
                        "    }\n"
                        "  }\n"
                        "}\n";

TEST(Nets, PrintTheTextThatTheyAreReadFrom) {
    const Workload workload = parse_workload(net);
    EXPECT_EQ(workload.str(), net);
    EXPECT_EQ(workload.kind(), "net");
    EXPECT_EQ(workload.type_str(), "Workload[net(source, middle, sink), Processes]");
    EXPECT_TRUE(workload.has_channels());
    EXPECT_EQ(workload.channels().size(), 2U);
}

std::string refused(const std::string &body) {
    return error_of<PtoError>([&] { parse_workload(header + "workload w {\n" + body + "}\n"); });
}

TEST(Nets, AreRefusedWhereTheyCannotRun) {
    EXPECT_THAT(refused("consume a token n from f {}\n"),
                HasSubstr("nothing sends to channel \"a\""));
    EXPECT_THAT(refused("close a\n"), HasSubstr("nothing consumes channel \"a\""));
    EXPECT_THAT(refused("net { process p consumes a { consume a token n from f {} } }\n"),
                HasSubstr("nothing sends to channel \"a\", which process \"p\" consumes"));
    EXPECT_THAT(refused("seq i in Dense[2] { net { process p {} } }\n"),
                HasSubstr("a net of processes stands in a loop"));
    EXPECT_THAT(refused("when (1 < 2) { net { process p {} } }\n"),
                HasSubstr("a net of processes stands in a branch"));
    EXPECT_THAT(refused("net { process p { net { process q {} } } }\n"),
                HasSubstr("process \"p\" has processes inside"));
    EXPECT_THAT(refused("net { process p { close a } }\n"),
                HasSubstr("process \"p\" sends to channel \"a\", which it does not declare"));
    EXPECT_THAT(refused("send a token n { combine {} }\n"), HasSubstr("what is sent is one task"));
    EXPECT_THAT(refused("net { process q produces a { send a token n { task load[0](in X[0, 0:4, "
                        "0:4], out Y[0, 0:4, 0:4]) } } process p consumes a { consume a token n.1 "
                        "from f { consume a token m from g {} } } }\n"),
                HasSubstr("channel \"a\" is consumed inside the body of a token of its own"));
    EXPECT_THAT(refused("send c token n { combine {} }\n"),
                HasSubstr("no channel is called \"c\""));
    EXPECT_THAT(refused("try 256 send a token n { combine {} }\n"),
                HasSubstr("slot 256 is not in"));
    EXPECT_THAT(error_of<PtoError>([] { parse_workload("channel a: -1\nworkload w {}\n"); }),
                HasSubstr("channel \"a\": the depth is -1, expected 0...1048576"));
}

TEST(Nets, OrderTasksOfATokenByTheCellOfItsSlot) {
    const DependenceSummary summary = analyse_dependence(parse_workload(net));
    ASSERT_FALSE(summary.is_static());
    const auto &plan = std::get<TrackedPlan>(summary.plan);
    ASSERT_EQ(plan.processes.size(), 3U);
    EXPECT_THAT(plan.processes[1].receives, ElementsAre(0));
    EXPECT_THAT(plan.processes[1].sends, ElementsAre(1));
    ASSERT_EQ(plan.channels.size(), 2U);
    EXPECT_EQ(plan.channels[0].slots, 3);
    EXPECT_EQ(plan.channels[1].slots, 1);
    EXPECT_TRUE(plan.channels[1].tried);
    const std::string text = summary.str();
    EXPECT_THAT(text, HasSubstr("writes a#2 from (n % 3)"));
    EXPECT_THAT(text, HasSubstr("reads a#2 from (m % 3)"));
    EXPECT_THAT(text, HasSubstr("process middle: consumes 0, produces 1"));
}

TEST(Nets, GiveReplicatedConsumersASlotForEachBody) {
    const std::string consumer =
        "consume a token m from f value t { task load[t](in X[t, 0:4, 0:4], out Y[t, 0:4, 0:4]) }";
    const Workload workload = parse_workload(
        header +
        "workload w { net {\n process s produces a { send a token n {\n"
        "task load[0](in X[0, 0:4, 0:4], out Y[0, 0:4, 0:4]) } }\n process p consumes a {" +
        consumer + "}\n process q consumes a {" + consumer + "} } }\n");
    const DependenceSummary summary = analyse_dependence(workload);
    EXPECT_EQ(std::get<TrackedPlan>(summary.plan).channels[0].slots, 2 + 2 * 2);
}

class Built : public testing::Test {
protected:
    void send(const ChannelPtr &channel, const std::string &loop, const Region &out) {
        builder.task(load, {var(loop)}, {arg(index(whole(x), at(loop))), arg(out)});
        builder.send_last(channel, Builder::Sending::Waits);
    }

    TensorPtr x = tensor("X", {8, 4, 4});
    TensorPtr y = tensor("Y", {8, 4, 4});
    TensorPtr buffer = tensor("buffer", {4, 4});
    KernelPtr load = declare(
        "load", {tile("x", kernel::Direction::In, 4, 4), tile("y", kernel::Direction::Out, 4, 4)});
    ChannelPtr ch = make_channel("ch", 1);
    Builder builder = Builder("w");
};

TEST_F(Built, StatementsBecomeProcessesAndBuffersAreStoredOnceASlot) {
    const std::string i = builder.open_loop(true, {Axis::Kind::Dense, 8, "", {}}, {"i"});
    send(ch, i, whole(buffer));
    builder.close();
    const std::string token = builder.open_consume({ch});
    const std::string t = builder.token_value(token, 0, {"t"});
    builder.task(load, {var(t)}, {arg(whole(buffer)), arg(index(whole(y), at(t)))});
    builder.close();
    const Workload workload = builder.finish();
    const std::string text = workload.str();
    EXPECT_THAT(text, HasSubstr("tensor buffer: f32[2, 4, 4] own"));
    EXPECT_THAT(text, HasSubstr("process load produces ch {"));
    EXPECT_THAT(text, HasSubstr("process load_2 consumes ch {"));
    EXPECT_EQ(parse_workload(text).str(), text);
    std::vector<int64_t> seen;
    workload.enumerate([&](const Task &task) {
        seen.push_back(task.params.front());
        return true;
    });
    EXPECT_EQ(workload.task_count(), 16);
    // Depth 1: the sender makes one more before it waits for the first to be taken.
    EXPECT_THAT(seen, ElementsAre(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7));
}

TEST_F(Built, RegionsThatTheTokenIndexesStayWhatTheyAre) {
    const std::string i = builder.open_loop(true, {Axis::Kind::Dense, 8, "", {}}, {"i"});
    send(ch, i, index(whole(y), at(i)));
    builder.close();
    const std::string token = builder.open_consume({ch});
    const std::string t = builder.token_value(token, 0, {"t"});
    builder.task(load, {var(t)}, {arg(index(whole(y), at(t))), arg(whole(buffer))});
    builder.close();
    EXPECT_THAT(builder.finish().str(), Not(HasSubstr("own")));
}

TEST_F(Built, NetsWithoutACommonChannelFollowEachOther) {
    const ChannelPtr other = make_channel("other", 1);
    for (const ChannelPtr &channel : {ch, other}) {
        const std::string i = builder.open_loop(true, {Axis::Kind::Dense, 8, "", {}}, {"i"});
        send(channel, i, index(whole(y), at(i)));
        builder.close();
        builder.open_consume({channel});
        builder.close();
    }
    const Workload workload = builder.finish();
    const auto &group = std::get<GroupNode>(workload.root->kind);
    ASSERT_EQ(group.children.size(), 2U);
    for (const NodePtr &child : group.children) {
        EXPECT_EQ(std::get<NetNode>(child->kind).processes.size(), 2U);
    }
}

TEST_F(Built, PartsAreWholeOnceTheyAreIncluded) {
    const std::string i = builder.open_loop(true, {Axis::Kind::Dense, 8, "", {}}, {"i"});
    send(ch, i, index(whole(y), at(i)));
    builder.close();
    const Workload part = builder.finish();
    EXPECT_EQ(part.kind(), "seq");
    EXPECT_THAT(error_of<CompileError>([&] { check_nets(*part.root); }),
                HasSubstr("nothing consumes channel \"ch\""));
    Builder all("all");
    all.include(part);
    all.open_consume({ch});
    all.close();
    EXPECT_EQ(all.finish().kind(), "net");
}

}  // namespace
}  // namespace pto::wsp::workload::test
