#include "pto/wsp/support/cores.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <thread>

namespace pto::wsp {

namespace {

namespace fs = std::filesystem;

int affinity_cores() {
    // The kernel refuses a mask shorter than its own, which large machines exceed 1024 bits with.
    for (int bits = 1024; bits <= 1 << 18; bits *= 4) {
        cpu_set_t *mask = CPU_ALLOC(bits);
        if (mask == nullptr) {
            break;
        }
        size_t bytes = CPU_ALLOC_SIZE(bits);
        int count = sched_getaffinity(0, bytes, mask) == 0 ? CPU_COUNT_S(bytes, mask) : 0;
        CPU_FREE(mask);
        if (count > 0) {
            return count;
        }
    }
    return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

std::optional<double> first_number(const fs::path &path) {
    std::ifstream file(path);
    double value = 0;
    return file >> value ? std::optional(value) : std::nullopt;
}

/// Version 2: `cpu.max` holds `max 100000` or `150000 100000`.
std::optional<double> unified_quota(const fs::path &directory) {
    std::ifstream file(directory / "cpu.max");
    double quota = 0;
    double period = 0;
    if (file >> quota >> period && quota > 0 && period > 0) {
        return quota / period;
    }
    return std::nullopt;
}

/// Version 1: a quota of -1 means none.
std::optional<double> legacy_quota(const fs::path &directory) {
    std::optional<double> quota = first_number(directory / "cpu.cfs_quota_us");
    std::optional<double> period = first_number(directory / "cpu.cfs_period_us");
    if (quota && period && *quota > 0 && *period > 0) {
        return *quota / *period;
    }
    return std::nullopt;
}

/// The smallest quota on the way from `group` up to `base`: each level limits those below it.
template <class Quota>
std::optional<double> smallest_quota(const fs::path &base, const std::string &group, Quota quota) {
    std::optional<double> smallest;
    for (fs::path path = fs::path(group).relative_path();; path = path.parent_path()) {
        if (std::optional<double> cores = quota(base / path)) {
            smallest = std::min(smallest.value_or(*cores), *cores);
        }
        if (path.empty()) {
            return smallest;
        }
    }
}

bool lists_cpu(const std::string &controllers) {
    std::istringstream names(controllers);
    for (std::string name; std::getline(names, name, ',');) {
        if (name == "cpu") {
            return true;
        }
    }
    return false;
}

std::optional<double> control_group_cores(const fs::path &root) {
    std::ifstream file(root / "proc/self/cgroup");
    std::optional<double> smallest;
    auto merge = [&](std::optional<double> cores) {
        if (cores) {
            smallest = std::min(smallest.value_or(*cores), *cores);
        }
    };
    for (std::string line; std::getline(file, line);) {
        size_t first = line.find(':');
        size_t second = line.find(':', first + 1);
        if (first == std::string::npos || second == std::string::npos) {
            continue;
        }
        std::string controllers = line.substr(first + 1, second - first - 1);
        std::string group = line.substr(second + 1);
        if (controllers.empty()) {
            merge(smallest_quota(root / "sys/fs/cgroup", group, unified_quota));
        } else if (lists_cpu(controllers)) {
            merge(smallest_quota(root / "sys/fs/cgroup/cpu", group, legacy_quota));
        }
    }
    return smallest;
}

}  // namespace

int usable_cores(const std::string &root) {
    int cores = affinity_cores();
    if (std::optional<double> quota = control_group_cores(root)) {
        cores = static_cast<int>(std::min<double>(cores, std::ceil(*quota)));
    }
    return std::max(1, cores);
}

}  // namespace pto::wsp
