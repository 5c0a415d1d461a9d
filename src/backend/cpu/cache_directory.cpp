#include "backend/cpu/cache_directory.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/cpu/entry.h"

namespace pto::wsp::backend::cpu {
namespace {

namespace fs = std::filesystem;

constexpr const char *layout_version = "v1";
constexpr const char *temporary_mark = ".tmp-";
constexpr std::chrono::hours temporary_lifetime{1};
/// Other processes' writes are seen at the latest after so many of our own.
constexpr int writes_between_scans = 64;
constexpr off_t most_entry_bytes = off_t{1} << 30;

class Descriptor {
public:
    explicit Descriptor(int value) : value_(value) {}
    ~Descriptor() {
        if (value_ >= 0) {
            ::close(value_);
        }
    }
    Descriptor(const Descriptor &) = delete;
    Descriptor &operator=(const Descriptor &) = delete;

    int get() const { return value_; }
    /// False when the kernel reports a late write error.
    bool close() { return ::close(std::exchange(value_, -1)) == 0; }

private:
    int value_;
};

std::string error_text(const std::string &path, int error) {
    return fmt::format("{}: {}", path, std::strerror(error));
}

/// Why a file or directory may hold what another user wrote, who could then run code as this one;
/// empty when it cannot.
std::string distrust(const struct stat &status) {
    if (status.st_uid != geteuid() && status.st_uid != 0) {
        return fmt::format("it belongs to user {}", status.st_uid);
    }
    if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        return fmt::format("others may write it: its mode is {:o}", status.st_mode & 07777);
    }
    return "";
}

/// Why an open file is no entry, or an empty text.
std::string file_flaw(const struct stat &status) {
    if (!S_ISREG(status.st_mode)) {
        return "it is no regular file";
    }
    if (status.st_size > most_entry_bytes) {
        return fmt::format("{} bytes, more than {}", status.st_size, most_entry_bytes);
    }
    return distrust(status);
}

/// The first `size` bytes of an open file, or those that there are; errno is set on failure.
std::optional<std::string> read_all(int file, off_t size) {
    std::string bytes(static_cast<size_t>(size), '\0');
    size_t done = 0;
    while (done < bytes.size()) {
        const ssize_t count = ::read(file, bytes.data() + done, bytes.size() - done);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count < 0) {
            return std::nullopt;
        }
        if (count == 0) {
            bytes.resize(done);
        }
        done += static_cast<size_t>(count);
    }
    return bytes;
}

bool write_all(int file, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t count = ::write(file, bytes.data(), bytes.size());
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count < 0) {
            return false;
        }
        bytes.remove_prefix(static_cast<size_t>(count));
    }
    return true;
}

}  // namespace

CacheDirectory::CacheDirectory(std::string directory, int64_t bound_bytes)
    : directory_(std::move(directory)), entries_((fs::path(directory_) / layout_version).string()),
      bound_bytes_(bound_bytes) {}

std::string CacheDirectory::entry_path(const Hash128 &key) const {
    return fmt::format("{}/{}.o", entries_, key.hex());
}

std::string CacheDirectory::why_not_trusted() const {
    struct stat status;
    if (lstat(entries_.c_str(), &status) != 0) {
        return errno == ENOENT ? "" : error_text(entries_, errno);
    }
    const std::string flaw = S_ISDIR(status.st_mode) ? distrust(status) : "it is no directory";
    return flaw.empty() ? "" : fmt::format("{} is not trusted: {}", entries_, flaw);
}

CacheDirectory::Found CacheDirectory::read(const Hash128 &key) const {
    if (directory_.empty()) {
        return {.reason = "no directory is set"};
    }
    if (std::string why = why_not_trusted(); !why.empty()) {
        return {.reason = std::move(why)};
    }
    const std::string path = entry_path(key);
    // What is in place of an entry may be a link or a pipe, which must not be followed or waited
    // for.
    const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (file.get() < 0) {
        const int error = errno;
        return {.reason = error == ENOENT ? fmt::format("no entry {}", path)
                                          : "cannot read " + error_text(path, error)};
    }
    struct stat status;
    if (fstat(file.get(), &status) != 0) {
        return {.reason = "cannot read " + error_text(path, errno)};
    }
    auto corrupt = [&](const std::string &flaw) -> Found {
        return {.reason = fmt::format("corrupt entry {}: {}", path, flaw), .corrupt = true};
    };
    std::string flaw = file_flaw(status);
    if (!flaw.empty()) {
        return corrupt(flaw);
    }
    const std::optional<std::string> bytes = read_all(file.get(), status.st_size);
    if (!bytes) {
        return {.reason = "cannot read " + error_text(path, errno)};
    }
    const std::string_view object = decode_entry(key, *bytes, &flaw);
    if (!flaw.empty()) {
        return corrupt(flaw);
    }
    // Time of the last use; a directory that we may only read keeps the old one.
    futimens(file.get(), nullptr);
    return {.object = std::string(object)};
}

std::string CacheDirectory::write(const Hash128 &key, std::string_view object) {
    if (directory_.empty()) {
        return "no directory is set";
    }
    std::error_code error;
    fs::create_directories(directory_, error);
    if (error) {
        return fmt::format("{}: {}", directory_, error.message());
    }
    // Whoever may write here may run code as this user.
    if (mkdir(entries_.c_str(), 0700) != 0 && errno != EEXIST) {
        return error_text(entries_, errno);
    }
    if (std::string why = why_not_trusted(); !why.empty()) {
        return why;
    }
    const std::string entry = encode_entry(key, object);
    if (entry.size() > static_cast<size_t>(most_entry_bytes)) {
        return fmt::format("{} bytes, more than {}", entry.size(), most_entry_bytes);
    }
    std::string temporary = fmt::format("{}/{}{}XXXXXX", entries_, key.hex(), temporary_mark);
    Descriptor file(mkostemp(temporary.data(), O_CLOEXEC));
    if (file.get() < 0) {
        return error_text(temporary, errno);
    }
    if (!write_all(file.get(), entry) || !file.close() ||
        rename(temporary.c_str(), entry_path(key).c_str()) != 0) {
        const int failure = errno;
        unlink(temporary.c_str());
        return error_text(temporary, failure);
    }
    const std::lock_guard lock(mutex_);
    ++writes_since_scan_;
    if (known_bytes_ >= 0) {
        known_bytes_ += static_cast<int64_t>(entry.size());
    }
    return "";
}

int64_t CacheDirectory::keep_bound() {
    const std::lock_guard lock(mutex_);
    const bool known = known_bytes_ >= 0 && writes_since_scan_ < writes_between_scans;
    return known && known_bytes_ <= bound_bytes_ ? 0 : scan();
}

int64_t CacheDirectory::scan() {
    struct Entry {
        fs::file_time_type used;
        int64_t bytes;
        fs::path path;
    };
    std::vector<Entry> entries;
    int64_t total = 0;
    const auto now = fs::file_time_type::clock::now();
    std::error_code error;
    for (fs::directory_iterator file(entries_, error), end; !error && file != end;
         file.increment(error)) {
        // Another process may remove it between any two of these calls.
        std::error_code gone;
        const auto used = fs::last_write_time(file->path(), gone);
        const auto bytes = gone ? 0 : fs::file_size(file->path(), gone);
        if (gone) {
            continue;
        }
        if (file->path().extension() == ".o") {
            entries.push_back({used, static_cast<int64_t>(bytes), file->path()});
            total += static_cast<int64_t>(bytes);
        } else if (file->path().filename().string().find(temporary_mark) != std::string::npos &&
                   now - used > temporary_lifetime) {
            fs::remove(file->path(), gone);
        }
    }
    int64_t removed = 0;
    if (total > bound_bytes_) {
        std::sort(entries.begin(), entries.end(),
                  [](const Entry &a, const Entry &b) { return a.used < b.used; });
        const int64_t goal = bound_bytes_ - bound_bytes_ / 8;
        for (size_t i = 0; i < entries.size() && total > goal; ++i) {
            std::error_code failure;
            removed += fs::remove(entries[i].path, failure) ? 1 : 0;
            total -= failure ? 0 : entries[i].bytes;
        }
    }
    known_bytes_ = total;
    writes_since_scan_ = 0;
    return removed;
}

}  // namespace pto::wsp::backend::cpu
