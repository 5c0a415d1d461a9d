#pragma once

#include <functional>
#include <map>
#include <string>

#include "pto/wsp/workload/workload.h"

namespace pto::wsp::workload {

/// A node as part of another workload: the ids of its loop variables, the marks of its tasks, and
/// names of symbols and tables replaced.
class Renamer {
public:
    using Names = std::map<std::string, std::string>;

    /// `fresh` gives an id that is free for the one of a loop variable. Marks of tasks get new
    /// numbers, `tasks` and those after it.
    Renamer(std::function<std::string(const std::string &)> fresh, Names symbols, Names tables,
            int &tasks);

    NodePtr rename(const NodePtr &node);

private:
    void rename_regions(Node &node) const;
    void rename_region(Region &region) const;
    void rename_marks(Node &node);

    std::function<std::string(const std::string &)> fresh_;
    Names symbols_;
    Names tables_;
    std::map<std::string, Affine> affine_;
    std::map<std::string, ScalarExpr> scalar_;
    int &tasks_;
    std::map<int, int> marks_;
};

}  // namespace pto::wsp::workload
