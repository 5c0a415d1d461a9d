#pragma once

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace pto::wsp {

/// A directory that stands in for `/`, removed at the end.
class FakeRoot {
public:
    FakeRoot() {
        std::string pattern = (std::filesystem::temp_directory_path() / "pto_wsp_XXXXXX").string();
        path_ = mkdtemp(pattern.data());
    }
    FakeRoot(const FakeRoot &) = delete;
    FakeRoot &operator=(const FakeRoot &) = delete;
    ~FakeRoot() { std::filesystem::remove_all(path_); }

    std::string path() const { return path_.string(); }
    void write(const std::string &name, const std::string &text) const {
        std::filesystem::create_directories((path_ / name).parent_path());
        std::ofstream(path_ / name) << text;
    }

private:
    std::filesystem::path path_;
};

}  // namespace pto::wsp
