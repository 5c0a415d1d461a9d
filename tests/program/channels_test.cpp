#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pto/wsp/wsp.h"

namespace pto::wsp {
namespace {

using testing::HasSubstr;

const Tile tile_type(4, 4, DType::F32);
const kernel::TileType carried{DType::F32, 4, 4};

Kernel copy() {
    return {"copy", {In("x", tile_type), Out("y", tile_type)}, [](const Parameters &k) {
                store(k["y"], load(k["x"]));
            }};
}

Kernel twice() {
    return {"twice", {In("x", tile_type), Out("y", tile_type)}, [](const Parameters &k) {
                store(k["y"], load(k["x"]) * 2.0);
            }};
}

struct Data {
    explicit Data(int64_t count) : x("X", {count, 4, 4}), y("Y", {count, 4, 4}) {
        float next = 1;
        for (float &value : x.span<float>()) {
            value = next++;
        }
    }

    void expect_doubled() const {
        for (size_t i = 0; i < x.span<float>().size(); ++i) {
            ASSERT_EQ(y.span<float>()[i], 2 * x.span<float>()[i]) << i;
        }
    }

    Tensor x;
    Tensor y;
};

void run(const Workload &workload) {
    Program program = workload.compile();
    program.execute();
    ASSERT_TRUE(program.synchronize(std::chrono::seconds(20)));
}

TEST(Channels, CarryTiles) {
    for (const int64_t depth : {0, 1, 2}) {
        const Data data(9);
        const Kernel load = copy();
        const Kernel scale = twice();
        const Channel loaded("loaded", depth);
        run(Workload("pipeline", [&] {
            for (const AxisVar i : P.seq(9)) {
                send(loaded, [&] { load[i]({data.x[i], sent_tile(carried)}); });
            }
            consume(loaded, [&](const ChannelToken &t) {
                scale[t.value()]({t.tile(), data.y[t.value()]});
            });
        }));
        data.expect_doubled();
    }
}

TEST(Channels, FeedReplicatedProcesses) {
    const Data data(20);
    const Kernel load = copy();
    const Kernel scale = twice();
    const Channel queue("queue", 2);
    const Workload workload("pipeline", [&] {
        const Process worker{"worker", {queue}, {}, [&] {
                                 consume(queue, [&](const ChannelToken &t) {
                                     scale[t.value()]({data.x[t.value()], data.y[t.value()]});
                                 });
                             }};
        std::vector<Process> processes = replicate(worker, 3);
        processes.push_back({"source", {}, {queue}, [&] {
                                 for (const AxisVar i : P.seq(20)) {
                                     send(queue, [&] { load[i]({data.x[i], data.y[i]}); });
                                 }
                             }});
        connect(processes);
    });
    EXPECT_EQ(workload.str(), "Workload[net(worker.1, worker.2, worker.3, source), Processes]");
    run(workload);
    data.expect_doubled();
}

TEST(Channels, AreTriedAndChosen) {
    const Data data(16);
    const Kernel load = copy();
    const Kernel scale = twice();
    const Channel a("a", 1);
    const Channel b("b", 1);
    run(Workload("pipeline", [&] {
        for (const AxisVar i : P.seq(16)) {
            const ScalarExpr sent = try_send(a, [&] { load[i]({data.x[i], data.y[i]}); });
            P.when(!sent, [&] { send(b, [&] { load[i]({data.x[i], data.y[i]}); }); });
        }
        consume({a, b}, [&](const ChannelToken &t) {
            P.when(t.is_from(a), [&] { scale[t.value()]({data.x[t.value()], data.y[t.value()]}); });
            P.when(t.is_from(b), [&] { scale[t.value()]({data.x[t.value()], data.y[t.value()]}); });
        });
    }));
    data.expect_doubled();
}

TEST(Channels, RefuseWhatTheyCannotMean) {
    const Data data(2);
    const Kernel load = copy();
    const Channel ch("ch");
    const auto text = [](const std::function<void()> &body) {
        try {
            Workload("w", body).compile();
        } catch (const PtoError &error) {
            return std::string(error.what());
        }
        return std::string("accepted");
    };
    EXPECT_THAT(text([&] { send(ch, [] {}); }), HasSubstr("send: no kernel is called"));
    EXPECT_THAT(text([&] {
                    send(ch, [&] {
                        load[0]({data.x[0], data.y[0]});
                        load[1]({data.x[1], data.y[1]});
                    });
                }),
                HasSubstr("send: what is sent is not one kernel call"));
    EXPECT_THAT(text([&] { consume(std::vector<Channel>{}, [](const ChannelToken &) {}); }),
                HasSubstr("consume: needs at least one channel"));
    EXPECT_THAT(text([&] {
                    const Channel other("other");
                    consume(ch, [&](const ChannelToken &t) { t.is_from(other); });
                }),
                HasSubstr("the token does not come from 'other'"));
    EXPECT_THAT(
        text([&] {
            send(ch, [&] { load[0]({data.x[0], sent_tile({DType::F32, 4, 4})}); });
            send(ch, [&] { load[0]({data.x[0], sent_tile({DType::F32, 4, 8})}); });
        }),
        HasSubstr("channel \"ch\": its tokens carry Tile[4, 4, F32], but tile is Tile[4, 8, "
                  "F32]"));
    EXPECT_THAT(text([&] { ch.close(); }), HasSubstr("nothing consumes channel \"ch\""));
}

}  // namespace
}  // namespace pto::wsp
