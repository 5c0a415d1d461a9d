#include <filesystem>

#include "lower/compiled.h"

namespace pto::wsp::lower {

void EmptyCache::TearDown() {
    std::filesystem::remove_all(directory_);
}

namespace {

[[maybe_unused]] const ::testing::Environment *const empty_cache =
    ::testing::AddGlobalTestEnvironment(new EmptyCache);

}  // namespace
}  // namespace pto::wsp::lower
