#include "pto/wsp/schedule/policy.h"

#include <algorithm>

#include "pto/wsp/support/text.h"
#include "schedule/argument.h"
#include "schedule/policy_table.h"

namespace pto::wsp::schedule {

namespace {

/// How the errors about one policy begin: at the user's line, or naming a file.
struct Place {
    Loc at;
    std::string origin;

    [[noreturn]] void fail(const std::string &text, const std::string &hint = "") const {
        throw ScheduleError(at, (origin.empty() ? "" : origin + ": ") + text, {}, hint);
    }

    void known(const std::string &name, const std::vector<std::string> &names,
               const std::string &what) const {
        if (std::ranges::find(names, name) == names.end()) {
            const std::string nearest = nearest_name(name, names);
            fail("unknown " + what + " " + quoted(name),
                 (nearest.empty() ? "" : "did you mean " + nearest + "? ") +
                     "known: " + join(names));
        }
    }
};

const PolicyRow &row_of(Part part, std::string_view policy, const Place &place) {
    std::vector<std::string> names;
    for (const PolicyRow &row : policy_table()) {
        if (row.part == part) {
            if (row.name == policy) {
                return row;
            }
            names.emplace_back(row.name);
        }
    }
    place.known(std::string(policy), names,
                part == Part::Dispatch ? "policy" : std::string(name(part)) + " policy");
    throw InternalError("schedule", "a policy is known and has no row");
}

/// What errors call the policy: `dispatch`, or for parts with one policy its name.
std::string title(const PolicyRow &row) {
    return has_one_policy(row.part) ? row.name
                                    : std::string(name(row.part)) + ": " + std::string(row.name);
}

void check_names(const PolicyRow &row, const std::vector<std::string> &given, bool json,
                 const Place &place) {
    std::vector<std::string> names;
    if (json && !has_one_policy(row.part)) {
        names.emplace_back("policy");
    }
    for (const ArgumentRow &argument : row.given()) {
        names.emplace_back(argument.name);
    }
    for (const std::string &name : given) {
        if (names.empty()) {
            place.fail(title(row) + " takes no argument, got " + quoted(name));
        }
        place.known(name, names, std::string(schedule::name(row.part)) + " key");
    }
}

}  // namespace

const char *name(Part part) {
    static constexpr const char *names[] = {"dispatch", "streams", "stream_by",  "timing",
                                            "deps",     "window",  "pools",      "ready",
                                            "start",    "trace",   "spatial_map"};
    return names[static_cast<size_t>(part)];
}

bool is_of_task_graph(Part part) {
    return part >= Part::Deps && part <= Part::Trace;
}

Policy Policy::make(Part part, std::string_view policy,
                    const std::map<std::string, Argument> &arguments, const Loc &at) {
    const Place place{at, ""};
    const PolicyRow &row = row_of(part, policy, place);
    std::vector<std::string> names;
    for (const auto &[argument, value] : arguments) {
        names.push_back(argument);
    }
    check_names(row, names, false, place);
    Policy made(row);
    for (const ArgumentRow &argument : row.given()) {
        const auto found = arguments.find(argument.name);
        std::optional<Argument> value =
            found != arguments.end() ? std::optional(found->second) : fallback(argument);
        if (!value) {
            place.fail(title(row) + ": " + argument.name + " is missing");
        }
        const std::string wrong = misfit(argument, *value);
        if (!wrong.empty()) {
            place.fail(title(row) + ": " + argument.name + " must be " + wrong + ", is " +
                       text_of(*value));
        }
        made.values_.push_back(std::move(*value));
    }
    return made;
}

Policy Policy::parse(Part part, const Json &json, const std::string &origin) {
    return parse(part, json, Loc{}, origin);
}

Policy Policy::parse(const std::string &part, const Json &json, const Loc &at) {
    std::vector<std::string> names;
    for (const PolicyRow &row : policy_table()) {
        if (part == schedule::name(row.part)) {
            return parse(row.part, json, at, "");
        }
        names.emplace_back(schedule::name(row.part));
    }
    Place{at, ""}.known(part, names, "part of a schedule");
    throw InternalError("schedule", "a part is known and has no row");
}

Policy Policy::parse(Part part, const Json &json, const Loc &at, const std::string &origin) {
    const Place place{at, origin};
    const std::string step = schedule::name(part);
    if (!json.is_object()) {
        place.fail(step + ": expected an object, got " + json.dump());
    }
    std::string policy = step;
    if (!has_one_policy(part)) {
        const auto found = json.find("policy");
        if (found == json.end()) {
            place.fail(step + ": policy is missing");
        }
        if (!found->is_string()) {
            place.fail(step + ": policy must be a name, is " + found->dump());
        }
        policy = found->get<std::string>();
    }
    const PolicyRow &row = row_of(part, policy, place);
    std::vector<std::string> names;
    for (const auto &[name, value] : json.items()) {
        names.push_back(name);
    }
    check_names(row, names, true, place);
    Policy made(row);
    for (const ArgumentRow &argument : row.given()) {
        const auto found = json.find(argument.name);
        std::optional<Argument> value;
        if (found == json.end()) {
            value = fallback(argument);
            if (!value) {
                place.fail(step + ": " + argument.name + " is missing");
            }
        } else {
            try {
                value = argument_of(argument, *found, origin);
            } catch (const IRConversionError &error) {
                place.fail(step + ": key " + found->dump() + ": " + error.text());
            }
            if (!value || !misfit(argument, *value).empty()) {
                place.fail(step + ": " + argument.name + " must be " + expected(argument) +
                           ", is " + found->dump());
            }
        }
        made.values_.push_back(std::move(*value));
    }
    return made;
}

Part Policy::part() const {
    return row_->part;
}

std::string Policy::name() const {
    return row_->name;
}

const Argument &Policy::value(std::string_view argument) const {
    const auto rows = row_->given();
    for (size_t i = 0; i < rows.size(); ++i) {
        if (rows[i].name == argument) {
            return values_[i];
        }
    }
    throw InternalError("schedule", name() + " has no argument " + std::string(argument));
}

std::vector<ScalarExpr> Policy::all_keys() const {
    std::vector<ScalarExpr> keys;
    for (const Argument &value : values_) {
        if (const auto *expressions = std::get_if<std::vector<ScalarExpr>>(&value)) {
            keys.insert(keys.end(), expressions->begin(), expressions->end());
        }
    }
    return keys;
}

Json Policy::json() const {
    Json object = Json::object();
    if (!has_one_policy(part())) {
        object["policy"] = name();
    }
    const auto rows = row_->given();
    for (size_t i = 0; i < rows.size(); ++i) {
        if (fallback(rows[i]) != values_[i]) {
            object[rows[i].name] = json_of(values_[i]);
        }
    }
    return object;
}

std::string Policy::str() const {
    std::vector<std::string> parts;
    const auto rows = row_->given();
    bool skipped = false;
    for (size_t i = 0; i < rows.size(); ++i) {
        if (fallback(rows[i]) == values_[i]) {
            skipped = true;
            continue;
        }
        const bool named = skipped || fallback(rows[i]).has_value();
        parts.push_back((named ? std::string(rows[i].name) + "=" : "") + text_of(values_[i]));
    }
    return name() + "(" + join(parts) + ")";
}

}  // namespace pto::wsp::schedule
