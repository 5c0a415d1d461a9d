#include "valid_sizes.h"

#include <fmt/format.h>

namespace pto::wsp::lower {

using namespace Halide::Internal;
using Halide::Expr;
using Halide::Int;

namespace {

/// One dim of a parameter: its name in errors, and the slot that holds its valid size.
struct ValidSize {
    std::string text;
    Expr size;
};

std::vector<ValidSize> valid_sizes(const kernel::TileProgram &program,
                                   const kernel::DimClass &dims) {
    std::vector<ValidSize> result;
    auto add = [&](const std::vector<int> &params, const char *what) {
        for (int p : params) {
            const std::string &name = program.params[static_cast<size_t>(p)].name;
            result.push_back({fmt::format("the valid {} of '{}'", what, name),
                              Variable::make(Int(64), fmt::format("{}.slot_{}", name, what))});
        }
    };
    add(dims.rows_of, "rows");
    add(dims.columns_of, "columns");
    return result;
}

}  // namespace

Stmt check_valid_sizes(const KernelVariant &variant) {
    std::vector<Stmt> checks;
    for (const kernel::DimClass &dims : variant.unproven) {
        std::vector<ValidSize> sizes = valid_sizes(*variant.program, dims);
        for (size_t i = 1; i < sizes.size(); ++i) {
            std::string text = fmt::format("{} are not as many as {}, which they meet",
                                           sizes[i].text, sizes[0].text);
            Expr error = Call::make(Int(32), "halide_error", {StringImm::make(text)}, Call::Extern);
            checks.push_back(
                IfThenElse::make(sizes[i].size != sizes[0].size, Evaluate::make(error)));
        }
    }
    return checks.empty() ? Stmt() : Block::make(checks);
}

}  // namespace pto::wsp::lower
