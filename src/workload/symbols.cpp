#include <algorithm>

#include "pto/wsp/support/text.h"
#include "pto/wsp/workload/builder.h"

namespace pto::wsp::workload {

namespace {

/// `dim` of a parameter equals the extent of its region.
struct Equation {
    Affine dim;
    int64_t extent = 0;
    bool partial = false;  ///< the region may be smaller than the tile
    const kernel::Param *param = nullptr;
    const Region *region = nullptr;
};

std::vector<Equation> equations_of(const TaskNode &task) {
    std::vector<Equation> result;
    for (size_t i = 0; i < task.arguments.size(); ++i) {
        const auto *region = std::get_if<Region>(&task.arguments[i].value);
        if (region == nullptr) {
            continue;
        }
        const kernel::Param &param = task.kernel->params[i];
        const Shape shape = region->shape();
        const size_t rank = shape.size();
        const auto add = [&](const Affine &dim, size_t from_last, bool partial) {
            if (!dim.is_constant()) {
                const int64_t extent = rank > from_last ? shape[rank - 1 - from_last] : 1;
                result.push_back({dim, extent, partial, &param, region});
            }
        };
        add(param.type.rows, 1, region->valid_rows.has_value());
        add(param.type.columns, 0, region->valid_columns.has_value());
    }
    std::ranges::stable_sort(result, {}, &Equation::partial);
    return result;
}

[[noreturn]] void fail(const TaskNode &task, const Equation &equation, const Affine &reduced,
                       const Loc &at) {
    const Region &region = *equation.region;
    std::string values;
    if (reduced != equation.dim) {
        values = ", which the other arguments make " + reduced.str();
    }
    throw TypeCheckError(region.at.known() ? region.at : at,
                         task.kernel->name + ": " + equation.param->name + ": expected " +
                             equation.param->type.user_str() + ", got " + region.str() +
                             " of shape " + shape_text(region.shape()) + ": " + equation.dim.str() +
                             values + " is not " + std::to_string(equation.extent),
                         {{equation.param->at, equation.param->name + " is declared here"}});
}

}  // namespace

std::map<std::string, int64_t> task_symbols(const TaskNode &task, const Loc &at) {
    std::map<std::string, Affine> values;
    std::vector<Equation> open = equations_of(task);
    for (bool progress = true; progress && !open.empty();) {
        progress = false;
        for (auto it = open.begin(); it != open.end() && !progress;) {
            const Affine reduced = it->dim.substitute(values);
            if (reduced.terms().size() > 1) {
                ++it;
                continue;
            }
            if (reduced.is_constant()) {
                const bool fits = reduced.constant() == it->extent ||
                                  (it->partial && it->extent < reduced.constant());
                if (!fits) {
                    fail(task, *it, reduced, at);
                }
            } else {
                const auto &[symbol, factor] = *reduced.terms().begin();
                const __int128 rest = static_cast<__int128>(it->extent) - reduced.constant();
                if (rest % factor != 0) {
                    fail(task, *it, reduced, at);
                }
                values.emplace(symbol, static_cast<int64_t>(rest / factor));
            }
            it = open.erase(it);
            progress = true;
        }
    }
    if (!open.empty()) {
        throw TypeCheckError(
            at,
            task.kernel->name + ": " + open.front().param->name +
                ": the arguments do not determine " + open.front().dim.substitute(values).str(),
            {{open.front().param->at, open.front().param->name + " is declared here"}},
            "use each of these symbols alone as a dim of some parameter");
    }
    std::map<std::string, int64_t> result;
    for (const auto &[symbol, value] : values) {
        result.emplace(symbol, value.constant());
    }
    return result;
}

}  // namespace pto::wsp::workload
