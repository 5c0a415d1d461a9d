#include "fuzz/readers.h"

#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "pto/wsp/core/affine.h"
#include "pto/wsp/core/scalar_expr.h"
#include "pto/wsp/kernel/evaluate.h"
#include "pto/wsp/kernel/program.h"
#include "pto/wsp/kernel/rules.h"
#include "pto/wsp/schedule/step.h"
#include "pto/wsp/schedule/tasks.h"
#include "pto/wsp/support/error.h"
#include "pto/wsp/support/json.h"
#include "pto/wsp/support/text.h"
#include "pto/wsp/workload/parse.h"

namespace pto::wsp::fuzz {

namespace {

/// Not an exception: nothing between here and the fuzzer may swallow it.
[[noreturn]] void finding(const std::string &what, const std::string &text) {
    std::fprintf(stderr, "finding: %s\n%s\n", what.c_str(), text.c_str());
    std::abort();
}

/// `action()`; false when it refuses with an error of the user's kind.
template <typename F> bool accepts(F action) {
    try {
        action();
        return true;
    } catch (const InternalError &error) {
        finding("an internal error", error.what());
    } catch (const PtoError &) {
        return false;
    }
}

/// What was printed must be read, and print the same.
template <typename Read> void check_printed(const std::string &printed, Read read) {
    std::string again;
    if (!accepts([&] { again = read(printed); })) {
        finding("a printed text is refused", printed);
    }
    if (again != printed) {
        finding("a printed text changes when read", printed + "\n-- to\n" + again);
    }
}

/// Reads and prints any text, then what was printed.
template <typename Read> void check_text(std::string_view text, Read read) {
    std::string printed;
    if (accepts([&] { printed = read(std::string(text)); })) {
        check_printed(printed, read);
    }
}

/// Elements of all values together; none for a program that takes long to evaluate.
bool is_small(const kernel::TileProgram &program) {
    int64_t elements = 0;
    for (const kernel::ValueInfo &value : program.values) {
        auto rows = value.type.rows.as_constant();
        auto columns = value.type.columns.as_constant();
        if (!rows || !columns || *rows > 64 || *columns > 64) {
            return false;
        }
        elements += *rows * *columns;
    }
    for (const kernel::Param &param : program.params) {
        auto rows = param.type.rows.as_constant();
        auto columns = param.type.columns.as_constant();
        if (!rows || !columns || *rows > 64 || *columns > 64) {
            return false;
        }
    }
    for (const kernel::Node &node : program.nodes) {
        if (node.op == kernel::Op::ForiLoop) {
            return false;
        }
    }
    return elements < 20000;
}

std::vector<kernel::Argument> zeros(const kernel::TileProgram &program) {
    std::vector<kernel::Argument> arguments;
    for (const kernel::Param &param : program.params) {
        if (param.kind == kernel::Param::Kind::Scalar) {
            arguments.emplace_back(0.0);
        } else {
            arguments.emplace_back(
                allocate_tensor({*param.type.rows.as_constant(), *param.type.columns.as_constant()},
                                param.type.dtype));
        }
    }
    return arguments;
}

void check_tile_program(std::string_view text) {
    check_text(text,
               [](const std::string &from) { return kernel::parse_tile_program(from)->str(); });
    std::shared_ptr<const kernel::TileProgram> program;
    if (!accepts([&] { program = kernel::parse_tile_program(text); })) {
        return;
    }
    std::shared_ptr<const kernel::TileProgram> rewritten;
    if (accepts([&] { rewritten = kernel::rewrite_tile_program(*program); }) &&
        !accepts([&] { kernel::verify(*rewritten); })) {
        finding("a rewritten program is not valid", rewritten->str());
    }
    if (is_small(*program)) {
        accepts([&] { kernel::evaluate(*program, zeros(*program)); });
    }
}

void check_workload(std::string_view text) {
    check_text(text, [](const std::string &from) { return workload::parse_workload(from).str(); });
}

void check_json(std::string_view text) {
    check_text(text, [](const std::string &from) { return canonical_json(parse_json(from, "t")); });
}

void check_scalar_expr(std::string_view text) {
    check_text(text, [](const std::string &from) { return ScalarExpr::parse(from).str(); });
    accepts([&] {
        ScalarExpr expr = ScalarExpr::parse(text);
        std::map<std::string, int64_t> values;
        for (const std::string &name : expr.variables()) {
            values[name] = static_cast<int64_t>(values.size()) - 2;
        }
        expr.as_affine();
        expr.evaluate(values);
    });
}

void check_affine(std::string_view text) {
    check_text(text, [](const std::string &from) {
        TextReader reader(from, "t");
        Affine affine = Affine::parse(reader);
        if (!reader.at_end()) {
            reader.fail("the end");
        }
        return affine.str();
    });
}

void check_schedule(std::string_view text) {
    check_text(text, [](const std::string &from) {
        return canonical_json(schedule::KernelSchedule::parse(parse_json(from, "t"), "t").json());
    });
    check_text(text, [](const std::string &from) {
        return canonical_json(schedule::TaskSchedule::parse(parse_json(from, "t"), "t").json());
    });
}

constexpr Reader table[] = {
    {"tile_program", check_tile_program},
    {"workload", check_workload},
    {"json", check_json},
    {"scalar_expr", check_scalar_expr},
    {"affine", check_affine},
    {"schedule", check_schedule},
};

}  // namespace

std::span<const Reader> readers() {
    return table;
}

const Reader *find_reader(std::string_view name) {
    for (const Reader &reader : table) {
        if (name == reader.name) {
            return &reader;
        }
    }
    return nullptr;
}

}  // namespace pto::wsp::fuzz
