#include "pto/wsp/core/fingerprint.h"

#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "pto/wsp/support/cores.h"
#include "pto/wsp/support/text.h"

namespace pto::wsp {

namespace {

namespace fs = std::filesystem;

/// A feature and the flags of `/proc/cpuinfo` that together make it.
struct FeatureRow {
    const char *name;
    std::vector<std::string> flags;
};

const std::vector<FeatureRow> &feature_rows() {
    static const std::vector<FeatureRow> rows = {
        {"sse41", {"sse4_1"}},
        {"avx", {"avx"}},
        {"avx2", {"avx2"}},
        {"fma", {"fma"}},
        {"f16c", {"f16c"}},
        // What compilers mean by AVX-512: the common part of all processors since Skylake.
        {"avx512", {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"}},
        {"avx512_vnni", {"avx512_vnni"}},
        {"avx512_bf16", {"avx512_bf16"}},
        {"avx512_fp16", {"avx512_fp16"}},
        {"avx_vnni", {"avx_vnni"}},
        {"amx_tile", {"amx_tile"}},
        {"amx_int8", {"amx_int8"}},
        {"amx_bf16", {"amx_bf16"}},
        {"amx_fp16", {"amx_fp16"}},
        {"neon", {"asimd"}},
        {"sve", {"sve"}},
    };
    return rows;
}

std::string arch_name() {
    utsname system{};
    if (uname(&system) != 0) {
        return "unknown";
    }
    std::string machine = system.machine;
    return machine == "x86_64" ? "x86-64" : machine;
}

/// The value of the first line `key : value` of cpuinfo, or empty.
std::string cpuinfo_value(const fs::path &root, std::initializer_list<std::string_view> keys) {
    std::ifstream file(root / "proc/cpuinfo");
    for (std::string line; std::getline(file, line);) {
        size_t colon = line.find(':');
        if (colon == std::string::npos) {
            continue;
        }
        std::string key = line.substr(0, colon);
        key.erase(key.find_last_not_of(" \t") + 1);
        if (std::find(keys.begin(), keys.end(), key) != keys.end()) {
            size_t start = line.find_first_not_of(" \t", colon + 1);
            return start == std::string::npos ? "" : line.substr(start);
        }
    }
    return "";
}

#if defined(__x86_64__)

using Registers = std::array<unsigned, 4>;

bool cpuid(unsigned leaf, unsigned part, Registers &r) {
    return __get_cpuid_count(leaf, part, &r[0], &r[1], &r[2], &r[3]) != 0;
}

std::string processor_name() {
    std::string name;
    for (unsigned leaf = 0x80000002; leaf <= 0x80000004; ++leaf) {
        Registers r{};
        if (!cpuid(leaf, 0, r)) {
            return "unknown";
        }
        name.append(reinterpret_cast<const char *>(r.data()), sizeof r);
    }
    return name.substr(0, name.find('\0'));
}

/// Flags under the names of cpuinfo, of those that `__builtin_cpu_supports` knows.
std::set<std::string> processor_flags() {
    std::set<std::string> flags;
    auto add = [&](bool present, const char *flag) {
        if (present) {
            flags.insert(flag);
        }
    };
    add(__builtin_cpu_supports("sse4.1"), "sse4_1");
    add(__builtin_cpu_supports("avx"), "avx");
    add(__builtin_cpu_supports("avx2"), "avx2");
    add(__builtin_cpu_supports("fma"), "fma");
    add(__builtin_cpu_supports("avx512f"), "avx512f");
    add(__builtin_cpu_supports("avx512cd"), "avx512cd");
    add(__builtin_cpu_supports("avx512bw"), "avx512bw");
    add(__builtin_cpu_supports("avx512dq"), "avx512dq");
    add(__builtin_cpu_supports("avx512vl"), "avx512vl");
    add(__builtin_cpu_supports("avx512vnni"), "avx512_vnni");
    Registers r{};
    bool has_avx = flags.contains("avx");
    add(has_avx && cpuid(1, 0, r) && (r[2] & bit_F16C) != 0, "f16c");
    return flags;
}

/// Sizes in KiB by level from the processor's own description of its caches.
std::array<int, 4> processor_caches() {
    std::array<int, 4> kib{};
    for (unsigned leaf : {0x4u, 0x8000001du}) {
        for (unsigned part = 0; part < 16; ++part) {
            Registers r{};
            unsigned kind = cpuid(leaf, part, r) ? r[0] & 31 : 0;
            if (kind == 0) {
                break;
            }
            unsigned level = (r[0] >> 5) & 7;
            constexpr unsigned instructions = 2;
            if (kind != instructions && level < kib.size()) {
                uint64_t line = (r[1] & 0xfff) + 1;
                uint64_t partitions = ((r[1] >> 12) & 0x3ff) + 1;
                uint64_t ways = (r[1] >> 22) + 1;
                uint64_t sets = uint64_t(r[2]) + 1;
                kib[level] = static_cast<int>(line * partitions * ways * sets / 1024);
            }
        }
        if (kib[1] != 0) {
            break;
        }
    }
    return kib;
}

#else

std::string processor_name() {
    return "unknown";
}
std::set<std::string> processor_flags() {
    return {};
}
std::array<int, 4> processor_caches() {
    return {};
}

#endif

std::string first_word(const fs::path &path) {
    std::ifstream file(path);
    std::string word;
    file >> word;
    return word;
}

/// `48K`, `2M` or a number of bytes, in KiB.
int size_kib(const std::string &text) {
    size_t digits = 0;
    int64_t value = 0;
    while (digits < text.size() && digits < 9 && text[digits] >= '0' && text[digits] <= '9') {
        value = 10 * value + (text[digits++] - '0');
    }
    char unit = digits < text.size() ? text[digits] : 'B';
    value = unit == 'K'   ? value
            : unit == 'M' ? value * 1024
            : unit == 'G' ? value << 20
                          : value >> 10;
    return static_cast<int>(std::min<int64_t>(value, 1 << 30));
}

std::array<int, 4> system_caches(const fs::path &root) {
    std::array<int, 4> kib{};
    for (int index = 0; index < 16; ++index) {
        fs::path cache =
            root / "sys/devices/system/cpu/cpu0/cache" / ("index" + std::to_string(index));
        std::string level = first_word(cache / "level");
        if (level.empty()) {
            break;
        }
        bool data = first_word(cache / "type") != "Instruction";
        if (data && level.size() == 1 && level[0] >= '1' && level[0] <= '3') {
            kib[static_cast<size_t>(level[0] - '0')] = size_kib(first_word(cache / "size"));
        }
    }
    return kib;
}

std::vector<std::string> feature_names(const std::set<std::string> &flags) {
    std::vector<std::string> names;
    for (const FeatureRow &row : feature_rows()) {
        bool all = std::all_of(row.flags.begin(), row.flags.end(),
                               [&](const std::string &flag) { return flags.contains(flag); });
        if (all) {
            names.emplace_back(row.name);
        }
    }
    std::sort(names.begin(), names.end());
    return names;
}

std::string size_text(int kib) {
    bool whole_mib = kib > 1024 && kib % 1024 == 0;
    return whole_mib ? std::to_string(kib / 1024) + " MiB" : std::to_string(kib) + " KiB";
}

}  // namespace

bool Fingerprint::has(const std::string &feature) const {
    return std::find(features.begin(), features.end(), feature) != features.end();
}

int Fingerprint::vector_lanes_f32() const {
    return has("avx512") ? 16 : has("avx") ? 8 : 4;
}

std::string Fingerprint::str() const {
    std::string text = arch;
    for (const std::string &feature : features) {
        text += " " + feature;
    }
    std::array<std::pair<const char *, int>, 3> caches = {
        {{"l1", l1d_kib}, {"l2", l2_kib}, {"l3", l3_kib}}};
    for (const auto &[label, kib] : caches) {
        text += std::string(", ") + label + " " + (kib == 0 ? "unknown" : size_text(kib));
    }
    return text + ", " + std::to_string(cores) + (cores == 1 ? " core" : " cores");
}

Json Fingerprint::json() const {
    return {{"arch", arch},       {"cpu", cpu},       {"features", features}, {"cores", cores},
            {"l1d_kib", l1d_kib}, {"l2_kib", l2_kib}, {"l3_kib", l3_kib}};
}

Fingerprint detect_fingerprint(const std::string &root) {
    Fingerprint found;
    found.arch = arch_name();
    found.cpu = cpuinfo_value(root, {"model name", "Processor"});
    if (found.cpu.empty()) {
        found.cpu = processor_name();
    }
    std::istringstream words(cpuinfo_value(root, {"flags", "Features"}));
    std::set<std::string> flags;
    for (std::string flag; words >> flag;) {
        flags.insert(flag);
    }
    found.features = feature_names(flags.empty() ? processor_flags() : flags);
    std::array<int, 4> caches = system_caches(root);
    if (caches[1] == 0) {
        caches = processor_caches();
    }
    found.l1d_kib = caches[1];
    found.l2_kib = caches[2];
    found.l3_kib = caches[3];
    found.cores = usable_cores(root);
    return found;
}

const Fingerprint &host_fingerprint() {
    static const Fingerprint fingerprint = detect_fingerprint();
    return fingerprint;
}

}  // namespace pto::wsp
