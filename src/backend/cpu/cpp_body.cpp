#include "pto/wsp/backend/cpu/cpp_body.h"

#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <regex>
#include <sstream>
#include <stdexcept>
#include <utility>

#include <dlfcn.h>
#include <fmt/format.h>
#include <unistd.h>

#include "backend/cpu/memory_file.h"
#include "backend/cpu/system_compiler.h"
#include "backend/cpu/tile_ref_text.h"
#include "pto/wsp/backend/cpu/cache.h"
#include "pto/wsp/kernel/custom.h"
#include "pto/wsp/support/env.h"
#include "pto/wsp/support/error.h"
#include "pto/wsp/support/hash.h"
#include "pto/wsp/support/log.h"
#include "pto/wsp/support/text.h"

namespace pto::wsp::backend::cpu {
namespace {

namespace fs = std::filesystem;
using kernel::CppBody;

constexpr const char *pass = "compile-body";
constexpr size_t most_notes = 4;

/// A directory of this process's own, with the header that units include; gone with the object.
class WorkDirectory {
public:
    WorkDirectory() {
        std::string path = env::temporary_dir() + "/pto-wsp-XXXXXX";
        if (mkdtemp(path.data()) == nullptr) {
            throw ExecutionError({}, fmt::format("no directory to compile in: {}", path), {},
                                 "set TMPDIR to a directory that can be written");
        }
        path_ = path;
        const fs::path header = path_ / "pto/wsp/core/tile_ref.h";
        fs::create_directories(header.parent_path());
        std::ofstream(header) << tile_ref_text;
    }
    ~WorkDirectory() {
        std::error_code ignored;
        fs::remove_all(path_, ignored);
    }
    WorkDirectory(const WorkDirectory &) = delete;
    WorkDirectory &operator=(const WorkDirectory &) = delete;

    std::string path(const char *name) const { return (path_ / name).string(); }
    std::string path() const { return path_.string(); }

private:
    fs::path path_;
};

/// What a feature of a Halide target allows compilers to use.
struct FeatureFlags {
    const char *feature;
    const char *flags;
};
constexpr FeatureFlags feature_flags[] = {
    {"sse41", "-msse4.1"},
    {"avx", "-mavx"},
    {"f16c", "-mf16c"},
    {"fma", "-mfma"},
    {"avx2", "-mavx2"},
    {"avx512", "-mavx512f -mavx512cd"},
    {"avx512_skylake", "-march=skylake-avx512 -mprefer-vector-width=512"},
    {"avx512_cannonlake", "-mavx512ifma -mavx512vbmi"},
    {"avx512_zen4", "-march=icelake-client -mavx512bf16 -mprefer-vector-width=512"},
    {"avx512_sapphirerapids", "-march=sapphirerapids -mprefer-vector-width=512"},
};

/// Flags that never change what a body computes, for all features of the target. Products and sums
/// stay apart, so that a body gives the same numbers everywhere; std::fma asks for one rounding.
std::vector<std::string> code_flags(const lower::Target &target) {
    std::vector<std::string> flags = {"-std=c++20",
                                      "-O3",
                                      "-fPIC",
                                      "-fvisibility=hidden",
                                      "-ffp-contract=off",
                                      "-fno-math-errno",
                                      "-fno-trapping-math",
                                      "-fno-diagnostics-color"};
    std::istringstream features(target.text);
    for (std::string feature; std::getline(features, feature, '-');) {
        for (const FeatureFlags &row : feature_flags) {
            if (feature == row.feature) {
                std::istringstream words(row.flags);
                for (std::string word; words >> word;) {
                    flags.push_back(word);
                }
            }
        }
    }
    return flags;
}

/// One error of a compiler: `file:line:column: error: text`.
struct Diagnostic {
    Loc at;
    std::string text;
};

std::vector<Diagnostic> diagnostics(const std::string &output) {
    static const std::regex form(R"(^(.*?):(\d+):(?:\d+:)? (?:fatal )?error: (.*)$)");
    std::vector<Diagnostic> result;
    std::istringstream lines(output);
    for (std::string line; std::getline(lines, line);) {
        std::smatch match;
        // Longer lines are no diagnostics, and the matcher recurses.
        if (line.size() < 4096 && std::regex_match(line, match, form)) {
            result.push_back({{match[1], std::stoi(match[2].str().substr(0, 9))}, match[3]});
        }
    }
    return result;
}

/// The first lines of `text`, where no line has the form of an error.
std::string first_lines(const std::string &text) {
    std::istringstream lines(text);
    std::string result;
    int count = 0;
    for (std::string line; count < 6 && std::getline(lines, line); ++count) {
        result += (result.empty() ? "" : "; ") + line;
    }
    return result.empty() ? "it says nothing" : result;
}

/// How a unit's function is declared, for hints.
std::string unit_hint(const kernel::TileProgram &program, const CppBody &body) {
    if (body.form != CppBody::Form::Unit) {
        return "";
    }
    const std::string text = cpp_unit(program);
    return fmt::format("the file defines void {}", text.substr(3, text.find('\n') - 3));
}

[[noreturn]] void refuse(const kernel::TileProgram &program, const CppBody &body,
                         const Finished &compiler) {
    std::vector<Diagnostic> found = diagnostics(compiler.errors);
    const std::string head = fmt::format("kernel '{}': C++: ", program.name);
    if (found.empty()) {
        throw CompileError(program.at, head + first_lines(compiler.errors), {},
                           unit_hint(program, body));
    }
    // Lines of a text without a file are no places.
    auto in_text = [&](const Diagnostic &each) {
        return !body.text_at.known() && each.at.file == body.origin;
    };
    auto place = [&](const Diagnostic &each) {
        return in_text(each) || each.at.file == generated_file ? program.at : each.at;
    };
    auto text = [&](const Diagnostic &each) {
        return in_text(each) ? fmt::format("{}: {}", each.at.str(), each.text) : each.text;
    };
    std::vector<Note> notes;
    for (size_t i = 1; i < found.size() && notes.size() < most_notes; ++i) {
        notes.push_back({place(found[i]), text(found[i])});
    }
    if (found.size() > notes.size() + 1) {
        notes.push_back(
            {program.at, fmt::format("and {} more errors", found.size() - notes.size() - 1)});
    }
    if (!(place(found[0]) == program.at)) {
        notes.push_back({program.at, fmt::format("kernel '{}' is declared here", program.name)});
    }
    throw CompileError(place(found[0]), head + text(found[0]), notes, unit_hint(program, body));
}

thread_local int64_t added_cycles = 0;

/// What `pto::cpu_sim::add_cycles` of a body calls; what it throws ends the task.
void add_cycles(int64_t cycles) {
    if (cycles < 0) {
        throw std::invalid_argument(fmt::format("pto::cpu_sim::add_cycles: {} is below 0", cycles));
    }
    if (__builtin_add_overflow(added_cycles, cycles, &added_cycles)) {
        throw std::overflow_error("pto::cpu_sim::add_cycles: the cycles of a task pass 2^63");
    }
}

/// What is loaded of a shared object.
struct Loaded {
    void *entry = nullptr;
    bool adds_cycles = false;
};

/// A shared object of this process, from its bytes.
Loaded load_shared(const std::string &bytes, const kernel::TileProgram &program) {
    static std::mutex mutex;
    static uint64_t loaded = 0;
    const MemoryFile file("pto_wsp_body", pass);
    file.write(bytes);
    const std::lock_guard lock(mutex);
    // The loader takes a path that it has seen for the object that it loaded from there, and the
    // numbers of files come again: dots that mean nothing make each path another one.
    std::string path = "/proc/self";
    for (uint64_t bits = ++loaded; bits != 0; bits >>= 1) {
        path += (bits & 1) != 0 ? "/." : "//.";
    }
    path += fmt::format("/fd/{}", file.descriptor());
    void *library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    void *entry = library == nullptr ? nullptr : dlsym(library, "pto_wsp_entry");
    if (entry == nullptr) {
        throw CompileError(program.at, fmt::format("kernel '{}': its compiled body cannot be "
                                                   "loaded: {}",
                                                   program.name, dlerror()));
    }
    using Sink = void (*)(int64_t);
    auto *sink = static_cast<Sink *>(dlsym(library, "pto_wsp_add_cycles"));
    if (sink != nullptr) {
        *sink = add_cycles;
    }
    return {entry, sink != nullptr};
}

class Compilation {
public:
    Compilation(const kernel::TileProgram &program, const lower::Target &target)
        : program_(program), body_(dynamic_cast<const CppBody &>(*program.custom)),
          compiler_(system_compiler(program.at)), unit_(cpp_unit(program)),
          flags_(code_flags(target)) {
        if (body_.text_at.known()) {
            const fs::path directory = fs::absolute(body_.text_at.file).parent_path();
            flags_.insert(flags_.end(), {"-iquote", directory.string()});
        }
        for (const std::string &directory : body_.include_dirs) {
            flags_.push_back("-I" + directory);
        }
    }

    Hash128 key() {
        const Finished seen = run({"-E", "-P"});
        return content_hash(fmt::format("cpp body\n{}\n{}\n{}\n{}", join(compiler_.command, " "),
                                        compiler_.version, join(flags_, " "), seen.output));
    }

    std::string object() {
        const std::string path = work_.path("body.so");
        const Finished finished = run({"-shared", "-Wl,-z,defs", "-o", path});
        if (!finished.errors.empty()) {
            log(LogLevel::Warning,
                fmt::format("kernel '{}': C++: {}", program_.name, finished.errors));
        }
        std::ifstream file(path, std::ios::binary);
        std::ostringstream bytes;
        bytes << file.rdbuf();
        return bytes.str();
    }

private:
    Finished run(const std::vector<std::string> &more) {
        std::vector<std::string> command = compiler_.command;
        command.insert(command.end(), flags_.begin(), flags_.end());
        command.insert(command.end(), more.begin(), more.end());
        command.insert(command.end(), {"-I" + work_.path(), "-x", "c++", "-"});
        Finished finished = run_process(command, unit_);
        if (finished.status != 0) {
            refuse(program_, body_, finished);
        }
        return finished;
    }

    const kernel::TileProgram &program_;
    const CppBody &body_;
    SystemCompiler compiler_;
    std::string unit_;
    std::vector<std::string> flags_;
    WorkDirectory work_;
};

}  // namespace

CompiledBody compile_cpp_body(const kernel::TileProgram &program, const lower::Target &target) {
    static std::mutex mutex;
    static auto &loaded = *new std::map<Hash128, Loaded>;
    Compilation compilation(program, target);
    const Hash128 key = compilation.key();
    CompiledBody result{"pto_wsp_body_" + key.hex(), nullptr, true, false};
    {
        const std::lock_guard lock(mutex);
        if (auto found = loaded.find(key); found != loaded.end()) {
            result.address = found->second.entry;
            result.adds_cycles = found->second.adds_cycles;
            return result;
        }
    }
    const std::string bytes = ObjectCache::shared().get(key, [&] {
        result.hit = false;
        return compilation.object();
    });
    const Loaded body = load_shared(bytes, program);
    const std::lock_guard lock(mutex);
    const Loaded &kept = loaded.try_emplace(key, body).first->second;
    result.address = kept.entry;
    result.adds_cycles = kept.adds_cycles;
    return result;
}

int64_t take_added_cycles() {
    return std::exchange(added_cycles, 0);
}

}  // namespace pto::wsp::backend::cpu
