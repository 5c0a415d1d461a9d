#include "workload/check_task.h"

#include <algorithm>
#include <cmath>

#include "pto/wsp/core/scalar_text.h"
#include "pto/wsp/support/text.h"
#include "workload/node_visit.h"
#include "workload/range.h"

namespace pto::wsp::workload {

namespace {

std::string number_of(const Argument &argument) {
    if (const auto *number = std::get_if<double>(&argument.value)) {
        return number_text(*number);
    }
    const auto *large = std::get_if<uint64_t>(&argument.value);
    return large != nullptr ? std::to_string(*large) : shown(std::get<ScalarExpr>(argument.value));
}

using kernel::Param;

std::string parameter_names(const Kernel &kernel) {
    std::vector<std::string> names;
    for (const Param &param : kernel.params) {
        names.push_back(param.name);
    }
    return join(names);
}

/// Checks one call; holds what all messages need.
class TaskCheck {
public:
    TaskCheck(const Kernel &kernel, const LoopPath &path, bool is_conditional, const Loc &at)
        : kernel_(kernel), path_(path), sizes_(sizes_of(path)), at_(at),
          is_conditional_(is_conditional) {
        empty_ = std::ranges::any_of(
            path, [](const LoopVar *variable) { return variable->axis.constant() == 0; });
    }

    /// One argument a parameter, in parameter order.
    std::vector<const Argument *> match(const std::vector<Argument> &arguments) const;
    void check_scope(const std::set<std::string> &variables, const std::string &text,
                     const Loc &at) const;
    TaskArgument check(const Param &param, const Argument &argument) const;
    /// Of a region that is no argument; `what` begins the texts.
    void check_inside(const std::string &what, const Region &region) const;
    /// What is left for the run.
    std::vector<RunTimeCheck> take_checks() { return std::move(checks_); }

private:
    /// True when the values of `names` are known before a run, each of them in some task.
    bool is_exact(const std::set<std::string> &names) const;
    bool is_exact(const Affine &offset) const;
    bool is_exact(const ScalarExpr &expr) const;
    void check_later(const ScalarExpr &value, int64_t low, int64_t high, std::string text,
                     const Loc &at) const {
        checks_.push_back({value, low, high, std::move(text), place(at)});
    }
    TaskArgument check_scalar(const Param &param, const Argument &argument) const;
    /// Of a number that no int64 is.
    TaskArgument check_large(const Param &param, const Argument &argument, uint64_t number) const;
    void check_range(const Param &param, const Argument &argument, const ScalarExpr &expr) const;
    void check_tile(const Param &param, const Region &region) const;
    void check_shape(const Param &param, const Region &region) const;
    void check_writable(const Param &param, const Region &region) const;
    void check_bounds(const Param &param, const Region &region) const;
    void check_valid(const Param &param, const Region &region, const ScalarExpr &valid,
                     int64_t extent, const char *what) const;
    void check_place(const std::string &what, const Region &region, int dim, const Affine &offset,
                     int64_t extent, int64_t size, const std::string &of) const;
    /// Places that are touched from `offset` on: `extent` of them, or as many as `valid` says.
    std::optional<Range> end_of(const Region &region, int dim, const Affine &offset,
                                int64_t extent) const;
    /// How many places that are.
    static ScalarExpr length_of(const Region &region, int dim, int64_t extent);
    std::vector<Note> notes(const Param &param, const Region &region) const;
    std::string axes_text(const Affine &offset) const;
    std::string prefix(const Param &param) const { return kernel_.name + ": " + param.name; }
    const Loc &place(const Loc &preferred) const { return preferred.known() ? preferred : at_; }

    const Kernel &kernel_;
    const LoopPath &path_;
    Sizes sizes_;
    const Loc &at_;
    bool is_conditional_ = false;
    bool empty_ = false;
    mutable std::vector<RunTimeCheck> checks_;
};

bool TaskCheck::is_exact(const std::set<std::string> &names) const {
    return !is_conditional_ && std::ranges::all_of(names, [&](const std::string &name) {
        const auto variable = std::ranges::find(path_, name, &LoopVar::id);
        return variable != path_.end() && !(*variable)->value && (*variable)->axis.constant();
    });
}

bool TaskCheck::is_exact(const Affine &offset) const {
    std::set<std::string> names;
    for (const auto &[name, coefficient] : offset.terms()) {
        names.insert(name);
    }
    return is_exact(names);
}

bool TaskCheck::is_exact(const ScalarExpr &expr) const {
    return !expr.is_dynamic() && is_exact(expr.variables());
}

/// Dimension of the tensor that is the tile's row (1) or column (0) counted from the last kept one.
std::optional<int> tile_dim(const Region &region, size_t from_last) {
    if (region.keep.size() <= from_last) {
        return std::nullopt;
    }
    return region.keep[region.keep.size() - 1 - from_last];
}

int64_t tile_extent(const Region &region, size_t from_last) {
    const auto dim = tile_dim(region, from_last);
    return dim ? region.extents[static_cast<size_t>(*dim)] : 1;
}

std::vector<const Argument *> TaskCheck::match(const std::vector<Argument> &arguments) const {
    const size_t count = kernel_.params.size();
    const std::string takes = kernel_.name + ": takes " + std::to_string(count) + " arguments (" +
                              parameter_names(kernel_) + ")";
    const std::vector<Note> declared{{kernel_.at, kernel_.name + " is declared here"}};
    std::vector<const Argument *> result(count, nullptr);
    size_t position = 0;
    for (const Argument &argument : arguments) {
        size_t to = position;
        if (argument.name.empty()) {
            position++;
        } else {
            to =
                static_cast<size_t>(std::ranges::find(kernel_.params, argument.name, &Param::name) -
                                    kernel_.params.begin());
        }
        if (to >= count && argument.name.empty()) {
            throw TypeCheckError(at_, takes + ", got " + std::to_string(arguments.size()),
                                 declared);
        }
        if (to >= count) {
            std::vector<std::string> names;
            std::ranges::transform(kernel_.params, std::back_inserter(names), &Param::name);
            const std::string nearest = nearest_name(argument.name, names);
            throw TypeCheckError(
                at_, kernel_.name + ": no parameter is called " + quoted(argument.name), declared,
                (nearest.empty() ? "" : "did you mean " + nearest + "? ") +
                    "parameters: " + join(names));
        }
        if (result[to] != nullptr) {
            throw TypeCheckError(
                at_, kernel_.name + ": argument " + kernel_.params[to].name + " is given twice",
                declared);
        }
        result[to] = &argument;
    }
    for (size_t i = 0; i < count; ++i) {
        if (result[i] == nullptr) {
            throw TypeCheckError(
                at_, kernel_.name + ": argument " + kernel_.params[i].name + " is missing",
                declared, takes + ", got " + std::to_string(arguments.size()));
        }
    }
    return result;
}

void TaskCheck::check_scope(const std::set<std::string> &variables, const std::string &text,
                            const Loc &at) const {
    const auto unknown = std::ranges::find_if(variables, [&](const std::string &name) {
        return std::ranges::find(path_, name, &LoopVar::id) == path_.end();
    });
    if (unknown == variables.end()) {
        return;
    }
    throw TypeCheckError(place(at),
                         kernel_.name + ": " + text + " uses " + *unknown +
                             ", which is no variable of a loop around this task",
                         {}, scope_hint(*unknown, path_, "this task"));
}

TaskArgument TaskCheck::check(const Param &param, const Argument &argument) const {
    const auto *region = std::get_if<Region>(&argument.value);
    if (param.kind == Param::Kind::Scalar) {
        if (region != nullptr) {
            throw TypeCheckError(place(argument.at),
                                 prefix(param) + ": expected Scalar[" +
                                     info(param.type.dtype).user_name + "], got the view " +
                                     region->str(),
                                 notes(param, *region));
        }
        return check_scalar(param, argument);
    }
    if (region == nullptr) {
        const std::string got = number_of(argument);
        throw TypeCheckError(
            place(argument.at),
            prefix(param) + ": expected " + param.type.user_str() + ", got the number " + got,
            {{param.at, param.name + " is declared here"}}, "pass a view of a tensor");
    }
    check_tile(param, *region);
    return {param.direction, *region};
}

/// What an integer type holds.
Range range_of_type(DType dtype) {
    const bool has_sign = info(dtype).kind == DTypeKind::Signed;
    const Wide end = Wide{1} << (8 * size_bytes(dtype) - (has_sign ? 1 : 0));
    return {has_sign ? -end : 0, end - 1};
}

std::string range_text(const Range &range) {
    return wide_text(range.low) + "..." + wide_text(range.high);
}

void TaskCheck::check_range(const Param &param, const Argument &argument,
                            const ScalarExpr &expr) const {
    if (empty_) {
        return;
    }
    const auto values = range_of_sum(0, expr, sizes_);
    const Range type = range_of_type(param.type.dtype);
    if (values && values->low >= type.low && values->high <= type.high) {
        return;
    }
    if (!is_exact(expr)) {
        check_later(expr, static_cast<int64_t>(std::max<Wide>(type.low, INT64_MIN)),
                    static_cast<int64_t>(std::min<Wide>(type.high, INT64_MAX)),
                    prefix(param) + " = " + shown(expr) + " (" + info(param.type.dtype).user_name +
                        ")",
                    argument.at);
        return;
    }
    const std::string holds =
        std::string(info(param.type.dtype).user_name) + " holds " + range_text(type);
    const std::vector<Note> declared{{param.at, param.name + " is declared here"}};
    if (expr.op() == ScalarExpr::Op::Const) {
        throw TypeCheckError(place(argument.at), prefix(param) + " = " + shown(expr) + ": " + holds,
                             declared);
    }
    const std::string where = values ? " lies in " + range_text(*values) : " may be any integer";
    throw TypeCheckError(place(argument.at),
                         prefix(param) + " = " + shown(expr) + where + ", but " + holds, declared,
                         "bound it, as in max(min(n, high), low)");
}

TaskArgument TaskCheck::check_large(const Param &param, const Argument &argument,
                                    uint64_t number) const {
    if (is_float(param.type.dtype)) {
        return {param.direction, static_cast<double>(number)};
    }
    if (param.type.dtype != DType::U64) {
        throw TypeCheckError(place(argument.at),
                             prefix(param) + " = " + std::to_string(number) + ": " +
                                 info(param.type.dtype).user_name + " holds " +
                                 range_text(range_of_type(param.type.dtype)),
                             {{param.at, param.name + " is declared here"}});
    }
    return {param.direction, number};
}

TaskArgument TaskCheck::check_scalar(const Param &param, const Argument &argument) const {
    const bool floating = is_float(param.type.dtype);
    if (const auto *number = std::get_if<double>(&argument.value)) {
        if (floating) {
            return {param.direction, *number};
        }
        constexpr double limit = 9223372036854775808.0;
        if (std::nearbyint(*number) != *number || *number < -limit || *number >= limit) {
            throw TypeCheckError(place(argument.at),
                                 prefix(param) + ": expected an integer (" +
                                     info(param.type.dtype).user_name + "), got " +
                                     number_text(*number),
                                 {{param.at, param.name + " is declared here"}});
        }
        const ScalarExpr integer(static_cast<int64_t>(*number));
        check_range(param, argument, integer);
        return {param.direction, integer};
    }
    if (const auto *large = std::get_if<uint64_t>(&argument.value)) {
        return check_large(param, argument, *large);
    }
    const auto &expr = std::get<ScalarExpr>(argument.value);
    check_scope(expr.variables(), param.name + " = " + shown(expr), argument.at);
    // What only the run knows is checked there.
    const auto unsafe = unsafe_operand(expr, sizes_);
    if (unsafe && !unsafe->operand->is_dynamic() && !empty_) {
        throw TypeCheckError(place(argument.at),
                             prefix(param) + " = " + shown(expr) + ": " + unsafe->text,
                             {{param.at, param.name + " is declared here"}}, unsafe->hint);
    }
    if (floating && expr.op() == ScalarExpr::Op::Const) {
        return {param.direction, static_cast<double>(expr.value())};
    }
    if (!floating) {
        check_range(param, argument, expr);
    }
    return {param.direction, expr};
}

std::vector<Note> TaskCheck::notes(const Param &param, const Region &region) const {
    return {{region.tensor->at, region.tensor->name + ": " + name(region.tensor->view.dtype) +
                                    shape_text(region.tensor->view.shape)},
            {param.at, param.name + " is declared here"}};
}

void TaskCheck::check_tile(const Param &param, const Region &region) const {
    const DType dtype = region.tensor->view.dtype;
    if (dtype != param.type.dtype) {
        throw TypeCheckError(place(region.at),
                             prefix(param) + ": expected " + info(param.type.dtype).user_name +
                                 ", got " + info(dtype).user_name + " of " + region.str(),
                             notes(param, region));
    }
    for (const Affine &offset : region.offsets) {
        std::set<std::string> variables;
        for (const auto &[name, coefficient] : offset.terms()) {
            variables.insert(name);
        }
        check_scope(variables, param.name + " = " + region.str(), region.at);
    }
    check_shape(param, region);
    check_writable(param, region);
    if (!empty_) {
        check_bounds(param, region);
    }
}

void TaskCheck::check_shape(const Param &param, const Region &region) const {
    const Shape shape = region.shape();
    const std::string got = "got " + region.str() + " of shape " + shape_text(shape);
    const std::string expected = prefix(param) + ": expected " + param.type.user_str() + ", ";
    for (size_t i = 0; i + 2 < shape.size(); ++i) {
        if (shape[i] != 1) {
            throw TypeCheckError(place(region.at), expected + got, notes(param, region),
                                 "a tile has two dimensions; index the leading ones, as in " +
                                     region.tensor->name + "[i]");
        }
    }
    const auto check = [&](const Affine &declared, int64_t extent, bool partial) {
        const auto size = declared.as_constant();
        if (!size || *size == extent || (partial && extent < *size)) {
            return;
        }
        std::string hint;
        if (extent < *size) {
            hint = "a partial tile is declared, as in .valid(rows=" +
                   std::to_string(tile_extent(region, 1)) +
                   ", cols=" + std::to_string(tile_extent(region, 0)) + ")";
        } else {
            hint = "take a part, as in " + region.tensor->name + ".slice(0, " +
                   std::to_string(*size) + ")";
        }
        throw TypeCheckError(place(region.at), expected + got, notes(param, region), hint);
    };
    check(param.type.rows, tile_extent(region, 1), region.valid_rows.has_value());
    check(param.type.columns, tile_extent(region, 0), region.valid_columns.has_value());
}

void TaskCheck::check_writable(const Param &param, const Region &region) const {
    // Strides mean nothing where there is no element.
    if (param.direction == kernel::Direction::In || std::ranges::count(region.extents, 0) > 0 ||
        element_count(region.tensor->view.shape) == 0) {
        return;
    }
    for (const int dim : region.keep) {
        const auto d = static_cast<size_t>(dim);
        if (region.extents[d] > 1 && region.tensor->view.strides[d] == 0) {
            throw TypeCheckError(place(region.at),
                                 prefix(param) + ": " + region.str() +
                                     " cannot be written: the stride of its dimension " +
                                     std::to_string(dim) +
                                     " is 0, so that all its places are one element",
                                 notes(param, region), "write to an array of its own");
        }
    }
}

std::string TaskCheck::axes_text(const Affine &offset) const {
    std::vector<std::string> parts;
    for (const LoopVar *variable : path_) {
        if (offset.coefficient(variable->id) != 0) {
            parts.push_back(variable->id + " in " + variable->axis.str());
        }
    }
    return parts.empty() ? "" : " (" + join(parts) + ")";
}

std::optional<Range> TaskCheck::end_of(const Region &region, int dim, const Affine &offset,
                                       int64_t extent) const {
    return range_of_sum(offset, length_of(region, dim, extent), sizes_);
}

ScalarExpr TaskCheck::length_of(const Region &region, int dim, int64_t extent) {
    const bool last = extent == region.extents[static_cast<size_t>(dim)];
    const auto *valid = &region.valid_columns;
    if (dim == tile_dim(region, 1)) {
        valid = &region.valid_rows;
    } else if (dim != tile_dim(region, 0)) {
        return extent;
    }
    return last && *valid ? **valid : ScalarExpr(extent);
}

void TaskCheck::check_place(const std::string &what, const Region &region, int dim,
                            const Affine &offset, int64_t extent, int64_t size,
                            const std::string &of) const {
    const auto known = range_of_sum(offset, 0, sizes_);
    const auto end = end_of(region, dim, offset, extent);
    const ScalarExpr length = length_of(region, dim, extent);
    if (known && end && known->low >= 0 && end->high <= size) {
        return;
    }
    if (!is_exact(offset) || !is_exact(length)) {
        const std::string place = what + ": dimension " + std::to_string(dim) + " of " + of +
                                  ", whose extent is " + std::to_string(size);
        const ScalarExpr start = ScalarExpr::from(offset);
        if (length.op() == ScalarExpr::Op::Const) {
            check_later(start, 0, size - length.value(), place + ": the index", region.at);
        } else {
            check_later(start, 0, size, place + ": the index", region.at);
            check_later(ScalarExpr::make(ScalarExpr::Op::Add, {start, length}), 0, size,
                        place + ": the end", region.at);
        }
        return;
    }
    const Range first = *known;
    if (!end) {
        throw TypeCheckError(place(region.at), what + " is not known to stay inside", {},
                             "bound the valid part, as in min(n, " + std::to_string(extent) + ")");
    }
    const std::string where = what + ": dimension " + std::to_string(dim) + " of " + of;
    const std::string rest = std::to_string(size) + axes_text(offset);
    const std::vector<Note> made{{region.tensor->at, region.tensor->name + " is made here"}};
    if (first.low < 0) {
        throw TypeCheckError(place(region.at),
                             where + " starts at " + wide_text(first.low) +
                                 ", before 0; its extent is " + rest,
                             made);
    }
    if (end->high > size) {
        throw TypeCheckError(
            place(region.at),
            where + " reaches index " + wide_text(end->high - 1) + ", but its extent is " + rest,
            made, extent > 1 ? "a partial last tile is declared with .valid(...)" : "");
    }
}

void TaskCheck::check_valid(const Param &param, const Region &region, const ScalarExpr &valid,
                            int64_t extent, const char *what) const {
    const std::string part =
        param.name + ": " + what + " valid(" + shown(valid) + ") of " + region.str();
    const std::string text = kernel_.name + ": " + part;
    check_scope(valid.variables(), part, region.at);
    const auto range = empty_ ? Range{0, 0} : range_of_sum(0, valid, sizes_);
    if (range && range->low >= 0 && range->high <= extent) {
        return;
    }
    if (!is_exact(valid)) {
        check_later(valid, 0, extent, text, region.at);
        return;
    }
    if (!range) {
        throw TypeCheckError(place(region.at),
                             text + " is not known to lie in 0..." + std::to_string(extent), {},
                             "bound it, as in max(min(n, " + std::to_string(extent) + "), 0)");
    }
    if (range->low < 0 || range->high > extent) {
        throw TypeCheckError(place(region.at),
                             text + " lies in " + range_text(*range) + ", allowed is 0..." +
                                 std::to_string(extent),
                             {}, "bound it, as in max(min(n, " + std::to_string(extent) + "), 0)");
    }
}

void TaskCheck::check_bounds(const Param &param, const Region &region) const {
    if (region.valid_rows) {
        check_valid(param, region, *region.valid_rows, tile_extent(region, 1), "rows");
    }
    if (region.valid_columns) {
        check_valid(param, region, *region.valid_columns, tile_extent(region, 0), "columns");
    }
    check_inside(prefix(param) + " = " + region.str(), region);
}

void TaskCheck::check_inside(const std::string &what, const Region &region) const {
    if (empty_) {
        return;
    }
    for (const Region::Bound &bound : region.bounds) {
        check_place(what, region, bound.dim, bound.offset, bound.extent, bound.size,
                    "the view it is taken of");
    }
    for (size_t d = 0; d < region.offsets.size(); ++d) {
        check_place(what, region, static_cast<int>(d), region.offsets[d], region.extents[d],
                    region.tensor->view.shape[d], region.tensor->name);
    }
}

}  // namespace

TaskNode check_task(const KernelPtr &kernel, std::vector<ScalarExpr> axes,
                    const std::vector<Argument> &arguments, const LoopPath &path,
                    bool is_conditional, const Loc &at) {
    TaskCheck check(*kernel, path, is_conditional, at);
    TaskNode task;
    task.kernel = kernel;
    const std::vector<const Argument *> matched = check.match(arguments);
    for (const ScalarExpr &axis : axes) {
        check.check_scope(axis.variables(), "subscript " + shown(axis), at);
    }
    for (size_t i = 0; i < matched.size(); ++i) {
        task.arguments.push_back(check.check(kernel->params[i], *matched[i]));
    }
    task.axes = std::move(axes);
    task_symbols(task, at);
    task.checks = check.take_checks();
    return task;
}

SlotNode check_slot_load(int slot, const Region &element, const LoopPath &path, bool is_conditional,
                         const Loc &at) {
    const DType dtype = element.tensor->view.dtype;
    const std::string what = "slot_load_u64: " + element.str();
    if (is_float(dtype)) {
        throw TypeCheckError(at, what + " is " + info(dtype).user_name + ", not an integer",
                             {{element.tensor->at, element.tensor->name + " is made here"}},
                             "store what decides as an integer, as in pto.cast(x, DType.I32)");
    }
    if (std::ranges::any_of(element.extents, [](int64_t extent) { return extent != 1; })) {
        throw TypeCheckError(
            at, what + " has shape " + shape_text(element.shape()) + ", not one element", {},
            "give row and col, as in slot_load_u64(0, X[b], row=0, col=0)");
    }
    const Kernel none{"slot_load_u64", {}, nullptr, at};
    TaskCheck check(none, path, is_conditional, at);
    std::set<std::string> variables;
    for (const Affine &offset : element.offsets) {
        for (const auto &[name, coefficient] : offset.terms()) {
            variables.insert(name);
        }
    }
    check.check_scope(variables, element.str(), at);
    check.check_inside(what, element);
    SlotNode node;
    node.slot = slot;
    node.value = element;
    node.checks = check.take_checks();
    return node;
}

}  // namespace pto::wsp::workload
