#pragma once

#include <map>
#include <optional>
#include <string>

#include "pto/wsp/workload/builder.h"

namespace pto::wsp {

/// The workload whose body the calling thread is in.
class Building {
public:
    Building(const std::string &name, bool fail_on_type_error, const Loc &at);
    ~Building();
    Building(const Building &) = delete;
    Building &operator=(const Building &) = delete;

    /// The innermost one, or null.
    static Building *current();
    /// The innermost one; CompileError that names `what` outside of a body.
    static Building &required(const std::string &what, const Loc &at);

    workload::Builder builder;
    std::map<std::string, RunData::Values> tables;  ///< of axes that it uses
    /// Why the body cannot become a workload.
    std::optional<CompileError> failure;

private:
    Building *outer_;
};

}  // namespace pto::wsp
