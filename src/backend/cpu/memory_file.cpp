#include "backend/cpu/memory_file.h"

#include <cerrno>
#include <cstring>

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pto/wsp/support/error.h"

namespace pto::wsp::backend::cpu {
namespace {

[[noreturn]] void fail(const char *pass, const std::string &what) {
    const int error = errno;
    throw InternalError(pass, fmt::format("{}: {}", what, std::strerror(error)));
}

}  // namespace

MemoryFile::MemoryFile(const char *name, const char *pass)
    : descriptor_(memfd_create(name, MFD_CLOEXEC)), pass_(pass) {
    if (descriptor_ < 0) {
        fail(pass, "no memory file");
    }
}

MemoryFile::~MemoryFile() {
    close(descriptor_);
}

std::string MemoryFile::path() const {
    return fmt::format("/proc/self/fd/{}", descriptor_);
}

std::string MemoryFile::read() const {
    struct stat status;
    if (fstat(descriptor_, &status) != 0) {
        fail(pass_, "the size of a memory file is unknown");
    }
    std::string bytes(static_cast<size_t>(status.st_size), '\0');
    size_t done = 0;
    while (done < bytes.size()) {
        const ssize_t count =
            pread(descriptor_, bytes.data() + done, bytes.size() - done, static_cast<off_t>(done));
        if (count <= 0) {
            fail(pass_, fmt::format("read {} of {} bytes of a memory file", done, bytes.size()));
        }
        done += static_cast<size_t>(count);
    }
    return bytes;
}

void MemoryFile::write(std::string_view bytes) const {
    while (!bytes.empty()) {
        const ssize_t count = ::write(descriptor_, bytes.data(), bytes.size());
        if (count < 0) {
            fail(pass_, fmt::format("{} bytes of a memory file are not written", bytes.size()));
        }
        bytes.remove_prefix(static_cast<size_t>(count));
    }
    lseek(descriptor_, 0, SEEK_SET);
}

}  // namespace pto::wsp::backend::cpu
