#include "backend/cpu/system_compiler.h"

#include <cerrno>
#include <cstring>
#include <map>
#include <mutex>
#include <sstream>
#include <string_view>

#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backend/cpu/memory_file.h"
#include "pto/wsp/support/env.h"
#include "pto/wsp/support/error.h"
#include "pto/wsp/support/text.h"

namespace pto::wsp::backend::cpu {
namespace {

constexpr const char *pass = "run-compiler";

std::vector<char *> pointers(std::vector<std::string> &texts) {
    std::vector<char *> result;
    result.reserve(texts.size() + 1);
    for (std::string &text : texts) {
        result.push_back(text.data());
    }
    result.push_back(nullptr);
    return result;
}

/// This process's environment; messages in English, and what is preloaded into this process stays
/// out of that one.
std::vector<std::string> plain_environment() {
    std::vector<std::string> result;
    for (char **entry = environ; *entry != nullptr; ++entry) {
        const std::string_view text = *entry;
        if (!text.starts_with("LC_ALL=") && !text.starts_with("LD_PRELOAD=")) {
            result.emplace_back(text);
        }
    }
    result.emplace_back("LC_ALL=C");
    return result;
}

int wait_for(pid_t process) {
    int status = 0;
    while (waitpid(process, &status, 0) < 0) {
        if (errno != EINTR) {
            throw InternalError(pass, fmt::format("no exit code: {}", std::strerror(errno)));
        }
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::vector<std::string> words(const std::string &text) {
    std::istringstream stream(text);
    std::vector<std::string> result;
    for (std::string word; stream >> word;) {
        result.push_back(word);
    }
    return result;
}

SystemCompiler find_compiler(const std::string &wanted, const Loc &at) {
    std::vector<std::vector<std::string>> commands = {{"c++"}, {"g++"}, {"clang++"}};
    if (!wanted.empty()) {
        commands = {words(wanted)};
    }
    std::vector<std::string> tried;
    for (const std::vector<std::string> &command : commands) {
        std::vector<std::string> asked = command;
        asked.emplace_back("--version");
        const Finished answer =
            asked.size() == 1 ? Finished{-1, "", "it is empty"} : run_process(asked, "");
        if (answer.status == 0) {
            return {command, answer.output};
        }
        tried.push_back(fmt::format(
            "{} ({})", join(command, " "),
            answer.status < 0 ? answer.errors : fmt::format("exit code {}", answer.status)));
    }
    throw CompileError(at,
                       fmt::format("C++ bodies of kernels need a C++ compiler, and there is none: "
                                   "tried {}{}",
                                   wanted.empty() ? "" : "$CXX, which is ", join(tried)),
                       {},
                       wanted.empty() ? "install g++ or clang++, or set CXX to a compiler"
                                      : "set CXX to a compiler, or unset it to use c++, g++ or "
                                        "clang++");
}

}  // namespace

Finished run_process(const std::vector<std::string> &command, const std::string &input) {
    // Files, not pipes: neither side ever waits for the other.
    const MemoryFile in("pto_wsp_stdin", pass);
    const MemoryFile out("pto_wsp_stdout", pass);
    const MemoryFile err("pto_wsp_stderr", pass);
    in.write(input);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in.descriptor(), STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out.descriptor(), STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, err.descriptor(), STDERR_FILENO);
    std::vector<std::string> arguments = command;
    std::vector<std::string> environment = plain_environment();
    pid_t process = 0;
    const int error = posix_spawnp(&process, command[0].c_str(), &actions, nullptr,
                                   pointers(arguments).data(), pointers(environment).data());
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0) {
        return {-1, "", std::strerror(error)};
    }
    Finished finished;
    finished.status = wait_for(process);
    finished.output = out.read();
    finished.errors = err.read();
    return finished;
}

SystemCompiler system_compiler(const Loc &at) {
    static std::mutex mutex;
    static auto &known = *new std::map<std::string, SystemCompiler>;
    const std::string wanted = env::cxx();
    const std::lock_guard lock(mutex);
    auto found = known.find(wanted);
    if (found == known.end()) {
        found = known.emplace(wanted, find_compiler(wanted, at)).first;
    }
    return found->second;
}

}  // namespace pto::wsp::backend::cpu
