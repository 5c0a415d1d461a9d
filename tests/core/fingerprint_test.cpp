#include "pto/wsp/core/fingerprint.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "pto/wsp/support/cores.h"
#include "support/fake_root.h"

namespace pto::wsp {
namespace {

TEST(Fingerprint, Text) {
    Fingerprint f{"x86-64", "A Processor", {"avx512", "avx512_bf16"}, 2, 32, 1024, 32768};
    EXPECT_EQ(f.str(), "x86-64 avx512 avx512_bf16, l1 32 KiB, l2 1024 KiB, l3 32 MiB, 2 cores");
    EXPECT_EQ(canonical_json(f.json()),
              R"({"arch":"x86-64","cores":2,"cpu":"A Processor","features":["avx512",)"
              R"("avx512_bf16"],"l1d_kib":32,"l2_kib":1024,"l3_kib":32768})");
    EXPECT_EQ((Fingerprint{"riscv64", "", {}, 1, 0, 0, 0}).str(),
              "riscv64, l1 unknown, l2 unknown, l3 unknown, 1 core");
}

TEST(Fingerprint, Lanes) {
    Fingerprint f;
    EXPECT_EQ(f.vector_lanes_f32(), 4);
    f.features = {"avx", "avx2"};
    EXPECT_EQ(f.vector_lanes_f32(), 8);
    f.features = {"avx2", "avx512"};
    EXPECT_EQ(f.vector_lanes_f32(), 16);
    EXPECT_TRUE(f.has("avx2"));
    EXPECT_FALSE(f.has("avx"));
}

TEST(Fingerprint, ReadsTheSystemsFiles) {
    FakeRoot root;
    root.write("proc/cpuinfo", "processor\t: 0\nmodel name\t: Some CPU @ 2:1\n"
                               "flags\t\t: sse4_1 avx avx2 fma f16c avx512f avx512cd avx512bw "
                               "avx512dq avx512vl amx_bf16 unknown_thing\n");
    std::string cache = "sys/devices/system/cpu/cpu0/cache/";
    auto write_cache = [&](int index, const char *level, const char *type, const char *size) {
        std::string directory = cache + "index" + std::to_string(index) + "/";
        root.write(directory + "level", level);
        root.write(directory + "type", type);
        root.write(directory + "size", size);
    };
    write_cache(0, "1\n", "Data\n", "48K\n");
    write_cache(1, "1\n", "Instruction\n", "64K\n");
    write_cache(2, "2\n", "Unified\n", "2M\n");
    write_cache(3, "3\n", "Unified\n", "107520K\n");
    Fingerprint f = detect_fingerprint(root.path());
    EXPECT_EQ(f.cpu, "Some CPU @ 2:1");
    EXPECT_EQ(f.features, (std::vector<std::string>{"amx_bf16", "avx", "avx2", "avx512", "f16c",
                                                    "fma", "sse41"}));
    EXPECT_EQ(f.l1d_kib, 48);
    EXPECT_EQ(f.l2_kib, 2048);
    EXPECT_EQ(f.l3_kib, 107520);
}

TEST(Fingerprint, PartOfAvx512IsNotAvx512) {
    FakeRoot root;
    root.write("proc/cpuinfo", "flags : avx avx2 avx512f avx512cd\n");
    EXPECT_EQ(detect_fingerprint(root.path()).vector_lanes_f32(), 8);
}

TEST(Fingerprint, OfThisMachine) {
    const Fingerprint &f = host_fingerprint();
    EXPECT_EQ(&f, &host_fingerprint());
    EXPECT_FALSE(f.arch.empty());
    EXPECT_FALSE(f.cpu.empty());
    EXPECT_TRUE(std::is_sorted(f.features.begin(), f.features.end()));
    EXPECT_EQ(f.cores, usable_cores());
}

#if defined(__x86_64__)
TEST(Fingerprint, TheProcessorAgreesWithTheSystemsFiles) {
    FakeRoot empty;
    Fingerprint asked = detect_fingerprint(empty.path());
    const Fingerprint &read = host_fingerprint();
    EXPECT_NE(asked.l1d_kib, 0);
    EXPECT_EQ(asked.l1d_kib, read.l1d_kib);
    EXPECT_EQ(asked.vector_lanes_f32(), read.vector_lanes_f32());
    for (const std::string &feature : asked.features) {
        EXPECT_TRUE(read.has(feature)) << feature;
    }
}
#endif

}  // namespace
}  // namespace pto::wsp
