#include "pto/wsp/schedule/step.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "pto/wsp/support/text.h"

namespace pto::wsp::schedule {

namespace {

enum class ArgumentType { Integer, Name, Names };

struct ArgumentRow {
    const char *name;
    ArgumentType type;
    bool required;
};

/// One row a kind of step: its name, its arguments, and the loops `before --> after`.
struct StepRow {
    StepKind kind;
    const char *name;
    std::array<ArgumentRow, 5> arguments;  ///< ended by a null name
    const char *doc;
};

constexpr ArgumentRow none{nullptr, ArgumentType::Integer, false};
constexpr ArgumentRow tail_row{"tail", ArgumentType::Name, false};

constexpr std::array<StepRow, 12> rows{{
    {StepKind::Tile,
     "tile",
     {{{"rows", ArgumentType::Integer, true},
       {"columns", ArgumentType::Integer, true},
       tail_row,
       none,
       none}},
     "for rows: for columns --> for rows.o: for columns.o: for rows.i: for columns.i"},
    {StepKind::Split,
     "split",
     {{{"dim", ArgumentType::Name, true},
       {"by", ArgumentType::Integer, true},
       {"outer", ArgumentType::Name, true},
       {"inner", ArgumentType::Name, true},
       tail_row}},
     "for dim in n --> for outer in ceil(n / by): for inner in by"},
    {StepKind::Reorder,
     "reorder",
     {{{"dims", ArgumentType::Names, true}, none, none, none, none}},
     "the loops named, in the order named, outermost first"},
    {StepKind::Fuse,
     "fuse",
     {{{"outer", ArgumentType::Name, true},
       {"inner", ArgumentType::Name, true},
       {"into", ArgumentType::Name, true},
       none,
       none}},
     "for outer in a: for inner in b --> for into in a * b"},
    {StepKind::Vectorize,
     "vectorize",
     {{{"dim", ArgumentType::Name, true},
       {"by", ArgumentType::Integer, false},
       tail_row,
       none,
       none}},
     "for dim in n --> for dim in ceil(n / by): one vector of by lanes"},
    {StepKind::Unroll,
     "unroll",
     {{{"dim", ArgumentType::Name, true},
       {"by", ArgumentType::Integer, false},
       tail_row,
       none,
       none}},
     "for dim in n --> for dim in ceil(n / by): the body by times"},
    {StepKind::ComputeAt,
     "compute_at",
     {{{"consumer", ArgumentType::Name, true},
       {"dim", ArgumentType::Name, true},
       none,
       none,
       none}},
     "computed where used --> what one iteration of the consumer's loop needs, before it"},
    {StepKind::ComputeRoot,
     "compute_root",
     {{none, none, none, none, none}},
     "computed where used --> computed whole, before everything that reads it"},
    {StepKind::StoreIn,
     "store_in",
     {{{"memory", ArgumentType::Name, true}, none, none, none, none}},
     "memory by Halide's choice --> heap, stack or register"},
    {StepKind::Stage,
     "stage",
     {{{"consumer", ArgumentType::Name, true},
       {"dim", ArgumentType::Name, true},
       none,
       none,
       none}},
     "consumer reads func --> consumer reads func.staged, a copy made at its loop dim (or root)"},
    {StepKind::Bound,
     "bound",
     {{{"dim", ArgumentType::Name, true},
       {"extent", ArgumentType::Integer, true},
       none,
       none,
       none}},
     "for dim in n --> for dim in extent, where n is provably extent"},
    {StepKind::Rfactor,
     "rfactor",
     {{{"dim", ArgumentType::Name, true}, {"by", ArgumentType::Integer, true}, none, none, none}},
     "for k: f += x(k) --> f.partial(lane) over k.o, then f over k.i; reassociates"},
}};

const StepRow &row_of(StepKind kind) {
    return rows[static_cast<size_t>(kind)];
}

const ArgumentRow *find_argument(const StepRow &row, const std::string &name) {
    for (const ArgumentRow &argument : row.arguments) {
        if (argument.name != nullptr && name == argument.name) {
            return &argument;
        }
    }
    return nullptr;
}

std::vector<std::string> argument_names(const StepRow &row) {
    std::vector<std::string> names;
    for (const ArgumentRow &argument : row.arguments) {
        if (argument.name != nullptr) {
            names.emplace_back(argument.name);
        }
    }
    return names;
}

const char *tail_name(Tail tail) {
    constexpr std::array names{"auto", "guard", "round_up", "shift", "predicate"};
    return names[static_cast<size_t>(tail)];
}

Step make(StepKind kind, const std::string &func, std::map<std::string, StepValue> arguments,
          const Loc &at, Tail tail = Tail::Auto) {
    if (tail != Tail::Auto) {
        arguments["tail"] = std::string(tail_name(tail));
    }
    return {kind, func, std::move(arguments), at};
}

Json to_json(const StepValue &value) {
    return std::visit([](const auto &v) { return Json(v); }, value);
}

StepValue from_json(const Json &json, const ArgumentRow &row, const std::string &where) {
    switch (row.type) {
    case ArgumentType::Integer:
        if (json.is_number_integer() &&
            (!json.is_number_unsigned() || json.get<uint64_t>() <= uint64_t{INT64_MAX})) {
            return json.get<int64_t>();
        }
        break;
    case ArgumentType::Name:
        if (json.is_string()) {
            return json.get<std::string>();
        }
        break;
    case ArgumentType::Names:
        if (json.is_array() && std::all_of(json.begin(), json.end(),
                                           [](const Json &each) { return each.is_string(); })) {
            return json.get<std::vector<std::string>>();
        }
        break;
    }
    constexpr std::array types{"a 64-bit integer", "a name", "a list of names"};
    throw ScheduleError({},
                        fmt::format("{}: '{}' is {}, not {}", where, row.name, canonical_json(json),
                                    types[static_cast<size_t>(row.type)]));
}

Step parse_step(const Json &json, const std::string &where) {
    if (!json.is_array() || json.size() < 2 || json.size() > 3 || !json[0].is_string() ||
        !json[1].is_string()) {
        throw ScheduleError({}, where + ": a step is [\"name\", \"func\", {arguments}]");
    }
    std::string name = json[0].get<std::string>();
    std::vector<std::string> names;
    const StepRow *row = nullptr;
    for (const StepRow &each : rows) {
        names.emplace_back(each.name);
        row = name == each.name ? &each : row;
    }
    if (row == nullptr) {
        std::string near = nearest_name(name, names);
        throw ScheduleError({}, fmt::format("{}: there is no step '{}'", where, name), {},
                            near.empty() ? "steps: " + join(names) : "did you mean " + near);
    }
    Step step{row->kind, json[1].get<std::string>(), {}, {}};
    Json arguments = json.size() == 3 ? json[2] : Json::object();
    if (!arguments.is_object()) {
        throw ScheduleError({}, where + ": the arguments of a step are an object");
    }
    for (const auto &[key, value] : arguments.items()) {
        const ArgumentRow *argument = find_argument(*row, key);
        if (argument == nullptr) {
            throw ScheduleError({}, fmt::format("{}: '{}' has no argument '{}'", where, name, key),
                                {}, "arguments: " + join(argument_names(*row)));
        }
        step.arguments[key] = from_json(value, *argument, where);
    }
    for (const ArgumentRow &argument : row->arguments) {
        if (argument.name != nullptr && argument.required &&
            step.arguments.count(argument.name) == 0) {
            throw ScheduleError(
                {}, fmt::format("{}: '{}' needs the argument '{}'", where, name, argument.name));
        }
    }
    return step;
}

}  // namespace

std::string Step::str() const {
    std::vector<std::string> parts{quoted(func)};
    for (const ArgumentRow &row : row_of(kind).arguments) {
        auto it = row.name != nullptr ? arguments.find(row.name) : arguments.end();
        if (it != arguments.end()) {
            parts.push_back(fmt::format("{}={}", row.name, canonical_json(to_json(it->second))));
        }
    }
    return fmt::format("{}({})", row_of(kind).name, join(parts));
}

Json Step::json() const {
    Json values = Json::object();
    for (const auto &[name, value] : arguments) {
        values[name] = to_json(value);
    }
    Json result = Json::array({row_of(kind).name, func});
    if (!values.empty()) {
        result.push_back(values);
    }
    return result;
}

KernelSchedule KernelSchedule::then(Step step) const {
    KernelSchedule result = *this;
    result.steps_.push_back(std::move(step));
    return result;
}

KernelSchedule KernelSchedule::tile(const std::string &func, int64_t rows, int64_t columns,
                                    Loc at) const {
    return then(make(StepKind::Tile, func, {{"rows", rows}, {"columns", columns}}, at));
}

KernelSchedule KernelSchedule::split(const std::string &func, const std::string &dim, int64_t by,
                                     const std::string &outer, const std::string &inner, Tail tail,
                                     Loc at) const {
    return then(make(StepKind::Split, func,
                     {{"dim", dim}, {"by", by}, {"outer", outer}, {"inner", inner}}, at, tail));
}

KernelSchedule KernelSchedule::reorder(const std::string &func, std::vector<std::string> dims,
                                       Loc at) const {
    return then(make(StepKind::Reorder, func, {{"dims", std::move(dims)}}, at));
}

KernelSchedule KernelSchedule::fuse(const std::string &func, const std::string &outer,
                                    const std::string &inner, const std::string &into,
                                    Loc at) const {
    return then(
        make(StepKind::Fuse, func, {{"outer", outer}, {"inner", inner}, {"into", into}}, at));
}

namespace {

std::map<std::string, StepValue> dim_by(const std::string &dim, int64_t by) {
    std::map<std::string, StepValue> arguments{{"dim", dim}};
    if (by != 0) {
        arguments["by"] = by;
    }
    return arguments;
}

}  // namespace

KernelSchedule KernelSchedule::vectorize(const std::string &func, const std::string &dim,
                                         int64_t by, Tail tail, Loc at) const {
    return then(make(StepKind::Vectorize, func, dim_by(dim, by), at, tail));
}

KernelSchedule KernelSchedule::unroll(const std::string &func, const std::string &dim, int64_t by,
                                      Tail tail, Loc at) const {
    return then(make(StepKind::Unroll, func, dim_by(dim, by), at, tail));
}

KernelSchedule KernelSchedule::compute_at(const std::string &func, const std::string &consumer,
                                          const std::string &dim, Loc at) const {
    return then(make(StepKind::ComputeAt, func, {{"consumer", consumer}, {"dim", dim}}, at));
}

KernelSchedule KernelSchedule::compute_root(const std::string &func, Loc at) const {
    return then(make(StepKind::ComputeRoot, func, {}, at));
}

KernelSchedule KernelSchedule::store_in(const std::string &func, const std::string &memory,
                                        Loc at) const {
    return then(make(StepKind::StoreIn, func, {{"memory", memory}}, at));
}

KernelSchedule KernelSchedule::stage(const std::string &func, const std::string &consumer,
                                     const std::string &dim, Loc at) const {
    return then(make(StepKind::Stage, func, {{"consumer", consumer}, {"dim", dim}}, at));
}

KernelSchedule KernelSchedule::bound(const std::string &func, const std::string &dim,
                                     int64_t extent, Loc at) const {
    return then(make(StepKind::Bound, func, {{"dim", dim}, {"extent", extent}}, at));
}

KernelSchedule KernelSchedule::rfactor(const std::string &func, const std::string &dim, int64_t by,
                                       Loc at) const {
    return then(make(StepKind::Rfactor, func, {{"dim", dim}, {"by", by}}, at));
}

Json KernelSchedule::json() const {
    Json result = Json::array();
    for (const Step &step : steps_) {
        result.push_back(step.json());
    }
    return result;
}

KernelSchedule KernelSchedule::parse(const Json &json, const std::string &origin) {
    if (!json.is_array()) {
        throw ScheduleError({}, origin + ": a schedule is a list of steps");
    }
    std::vector<Step> steps;
    for (size_t i = 0; i < json.size(); ++i) {
        steps.push_back(parse_step(json[i], fmt::format("{}: step {}", origin, i)));
    }
    return KernelSchedule(std::move(steps));
}

std::string KernelSchedule::str() const {
    std::string text;
    for (const Step &step : steps_) {
        text += step.str() + "\n";
    }
    return text;
}

}  // namespace pto::wsp::schedule
