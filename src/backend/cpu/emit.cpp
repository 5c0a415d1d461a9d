#include "pto/wsp/backend/cpu/loader.h"

#include <cerrno>
#include <cstring>
#include <map>
#include <utility>

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lower/module_impl.h"
#include "pto/wsp/support/error.h"

namespace pto::wsp::backend::cpu {
namespace {

constexpr const char *pass = "emit-object";

[[noreturn]] void fail(const std::string &what) {
    const int error = errno;
    throw InternalError(pass, fmt::format("{}: {}", what, std::strerror(error)));
}

/// A file that has no name and no place on any disk: Halide's API hands out objects as files only,
/// and this one cannot be left behind.
class MemoryFile {
public:
    MemoryFile() : descriptor_(memfd_create("pto_wsp_object", MFD_CLOEXEC)) {
        if (descriptor_ < 0) {
            fail("no memory file for the object");
        }
    }
    ~MemoryFile() { close(descriptor_); }
    MemoryFile(const MemoryFile &) = delete;
    MemoryFile &operator=(const MemoryFile &) = delete;

    std::string path() const { return fmt::format("/proc/self/fd/{}", descriptor_); }

    std::string read() const {
        struct stat status;
        if (fstat(descriptor_, &status) != 0) {
            fail("the object's size is unknown");
        }
        std::string bytes(static_cast<size_t>(status.st_size), '\0');
        size_t done = 0;
        while (done < bytes.size()) {
            const ssize_t count = pread(descriptor_, bytes.data() + done, bytes.size() - done,
                                        static_cast<off_t>(done));
            if (count <= 0) {
                fail(fmt::format("read {} of {} bytes of the object", done, bytes.size()));
            }
            done += static_cast<size_t>(count);
        }
        return bytes;
    }

private:
    int descriptor_;
};

std::string one_line(std::string text) {
    while (!text.empty() && text.back() == '\n') {
        text.pop_back();
    }
    return text;
}

}  // namespace

std::string emit_object(const lower::Module &module) {
    const MemoryFile file;
    const Halide::Module &lowered = module.impl().module;
    try {
        lowered.compile({{Halide::OutputFileType::object, file.path()}});
    } catch (const Halide::Error &error) {
        throw InternalError(pass, fmt::format("Halide refused module {}: {}", lowered.name(),
                                              one_line(error.what())));
    }
    std::string bytes = file.read();
    if (bytes.empty()) {
        throw InternalError(pass, fmt::format("module {} gave an empty object", lowered.name()));
    }
    return bytes;
}

}  // namespace pto::wsp::backend::cpu
