#include "pto/wsp/support/cores.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <thread>

#include "support/fake_root.h"

namespace pto::wsp {
namespace {

int affinity() {
    cpu_set_t mask;
    CPU_ZERO(&mask);
    return sched_getaffinity(0, sizeof mask, &mask) == 0 ? CPU_COUNT(&mask) : 1;
}

TEST(Cores, OfThisProcess) {
    EXPECT_GE(usable_cores(), 1);
    EXPECT_LE(usable_cores(), affinity());
}

TEST(Cores, WithoutControlGroupsTheAffinityCounts) {
    FakeRoot root;
    EXPECT_EQ(usable_cores(root.path()), affinity());
    root.write("proc/self/cgroup", "nonsense\n0::\n1:cpu\n");
    EXPECT_EQ(usable_cores(root.path()), affinity());
}

TEST(Cores, UnifiedQuotaOfTheTightestLevel) {
    FakeRoot root;
    root.write("proc/self/cgroup", "0::/user/job\n");
    root.write("sys/fs/cgroup/user/job/cpu.max", "max 100000\n");
    EXPECT_EQ(usable_cores(root.path()), affinity());
    root.write("sys/fs/cgroup/user/cpu.max", "50000 100000\n");
    EXPECT_EQ(usable_cores(root.path()), 1);
}

TEST(Cores, QuotaIsRoundedUpAndNeverRaises) {
    FakeRoot root;
    root.write("proc/self/cgroup", "0::/\n");
    root.write("sys/fs/cgroup/cpu.max", "110000 100000\n");
    EXPECT_EQ(usable_cores(root.path()), std::min(2, affinity()));
    root.write("sys/fs/cgroup/cpu.max", "1e300 1e-300\n");
    EXPECT_EQ(usable_cores(root.path()), affinity());
}

TEST(Cores, LegacyQuota) {
    FakeRoot root;
    root.write("proc/self/cgroup", "4:cpuset:/a\n3:cpuacct,cpu:/docker/x\n");
    root.write("sys/fs/cgroup/cpu/docker/x/cpu.cfs_quota_us", "-1\n");
    root.write("sys/fs/cgroup/cpu/docker/x/cpu.cfs_period_us", "100000\n");
    EXPECT_EQ(usable_cores(root.path()), affinity());
    root.write("sys/fs/cgroup/cpu/docker/x/cpu.cfs_quota_us", "90000\n");
    EXPECT_EQ(usable_cores(root.path()), 1);
}

TEST(Cores, AffinityOfTheCallingThread) {
    int cores = 0;
    std::thread([&] {
        cpu_set_t mask;
        CPU_ZERO(&mask);
        sched_getaffinity(0, sizeof mask, &mask);
        int last = CPU_SETSIZE - 1;
        while (!CPU_ISSET(last, &mask)) {
            --last;
        }
        CPU_ZERO(&mask);
        CPU_SET(last, &mask);
        ASSERT_EQ(sched_setaffinity(0, sizeof mask, &mask), 0);
        cores = usable_cores();
    }).join();
    EXPECT_EQ(cores, 1);
}

}  // namespace
}  // namespace pto::wsp
