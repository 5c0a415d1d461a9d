#pragma once

#include <string>

namespace pto::wsp {

/// Cores that this process may use, at least 1: its affinity mask, or the CPU quota of its control
/// group (versions 1 and 2, rounded up) when that is smaller. The control group's files are read
/// under `root`.
int usable_cores(const std::string &root = "/");

}  // namespace pto::wsp
