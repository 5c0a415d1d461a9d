#pragma once

#include <string>
#include <string_view>

namespace pto::wsp::backend::cpu {

/// A file that has no name and no place on any disk, so that it cannot be left behind: for what
/// hands out or takes bytes as files only.
class MemoryFile {
public:
    /// An empty one; `name` is for whoever lists the process's files. InternalError of `pass`, as
    /// of the others, when the system refuses.
    MemoryFile(const char *name, const char *pass);
    ~MemoryFile();
    MemoryFile(const MemoryFile &) = delete;
    MemoryFile &operator=(const MemoryFile &) = delete;

    int descriptor() const { return descriptor_; }
    /// A path by which this process may open it while this object lives.
    std::string path() const;
    /// All that is in it.
    std::string read() const;
    /// Fills it; who reads then starts at the beginning.
    void write(std::string_view bytes) const;

private:
    int descriptor_;
    const char *pass_;
};

}  // namespace pto::wsp::backend::cpu
