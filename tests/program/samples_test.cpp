#include "program/samples.h"

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include <fmt/format.h>

#include "pto/wsp/kernel/evaluate.h"
#include "pto/wsp/workload/builder.h"

namespace pto::wsp::test {

Kernel accumulate() {
    return {"accumulate", {In("x", small_tile()), InOut("y", small_tile())}, [](const auto &k) {
                store(k["y"], k["x"] * 0.5 + k["y"]);
            }};
}

Kernel increment() {
    return {"increment", {In("x", small_tile()), Out("y", small_tile())}, [](const auto &k) {
                store(k["y"], k["x"] + 1);
            }};
}

Kernel mix() {
    return {"mix",
            {In("a", small_tile()), In("b", small_tile()), Out("c", small_tile())},
            [](const auto &k) { store(k["c"], k["a"] * 0.5 + k["b"] * 0.25 + 1); }};
}

void fill(const Tensor &tensor, unsigned seed) {
    uint32_t state = seed * 2654435761u + 1;
    for (float &x : tensor.span<float>()) {
        state = state * 1664525u + 1013904223u;
        x = static_cast<float>(state >> 20) / 256.0f - 8.0f;
    }
}

void run(Program &program) {
    program.execute();
    ASSERT_TRUE(program.synchronize(std::chrono::minutes(1))) << "the run does not end";
}

namespace {

/// The tile of a region as a view of two dimensions, cut to its valid part.
TensorView tile_of(const workload::Region &region, const std::map<std::string, int64_t> &values) {
    TensorView result = region.tensor->view;
    int64_t offset = 0;
    for (size_t d = 0; d < region.offsets.size(); ++d) {
        offset += region.offsets[d].evaluate(values) * result.strides[d];
    }
    result.data = static_cast<std::byte *>(result.data) + offset * size_bytes(result.dtype);
    Shape shape{1, 1}, strides{0, 0};
    for (size_t i = 0; i < std::min<size_t>(2, region.keep.size()); ++i) {
        const auto dim = static_cast<size_t>(region.keep[region.keep.size() - 1 - i]);
        shape[1 - i] = region.extents[dim];
        strides[1 - i] = region.tensor->view.strides[dim];
    }
    if (region.valid_rows) {
        shape[0] = region.valid_rows->evaluate(values);
    }
    if (region.valid_columns) {
        shape[1] = region.valid_columns->evaluate(values);
    }
    result.shape = shape;
    result.strides = strides;
    return result;
}

std::vector<std::vector<std::byte>> contents(const workload::Workload &workload) {
    std::vector<std::vector<std::byte>> result;
    for (const workload::TensorPtr &tensor : workload.tensors()) {
        const auto *data = static_cast<const std::byte *>(tensor->view.data);
        result.emplace_back(data, data + tensor->view.nbytes());
    }
    return result;
}

void restore(const workload::Workload &workload, const std::vector<std::vector<std::byte>> &from) {
    for (size_t t = 0; t < from.size(); ++t) {
        std::memcpy(workload.tensors()[t]->view.data, from[t].data(), from[t].size());
    }
}

}  // namespace

namespace {

/// Runs the tasks one by one in program order, with the slots that they leave.
class Interpreter {
public:
    explicit Interpreter(const workload::Workload &workload) : data_(workload.data) {
        walk(*workload.root);
    }

private:
    int64_t value(const ScalarExpr &expr) const {
        return expr.evaluate(values_, &data_, slots_.data());
    }

    void walk(const workload::Node &node) {
        if (const auto *task = std::get_if<workload::TaskNode>(&node.kind)) {
            run(*task);
        } else if (const auto *loop = std::get_if<workload::LoopNode>(&node.kind)) {
            const workload::LoopVar &variable = loop->variable;
            const int64_t size = value(variable.axis.size);
            for (int64_t i = 0; i < size; ++i) {
                values_[variable.id] = variable.value ? value(*variable.value) : i;
                walk(*loop->body);
            }
        } else if (const auto *branch = std::get_if<workload::BranchNode>(&node.kind)) {
            walk_branch(*branch);
        } else if (const auto *slot = std::get_if<workload::SlotNode>(&node.kind)) {
            fill_slot(*slot);
        } else {
            workload::for_each_child(node, [&](const workload::NodePtr &child) { walk(*child); });
        }
    }

    void walk_branch(const workload::BranchNode &branch) {
        for (const workload::BranchNode::Case &each : branch.cases) {
            if (value(each.predicate) != 0) {
                return walk(*each.body);
            }
        }
        if (branch.otherwise != nullptr) {
            walk(*branch.otherwise);
        }
    }

    void fill_slot(const workload::SlotNode &slot) {
        int64_t &to = slots_[static_cast<size_t>(slot.slot)];
        if (const auto *expr = std::get_if<ScalarExpr>(&slot.value)) {
            to = value(*expr);
            return;
        }
        const TensorView element = tile_at(std::get<workload::Region>(slot.value));
        ASSERT_EQ(element.dtype, DType::I32);
        to = *static_cast<const int32_t *>(element.data);
    }

    TensorView tile_at(workload::Region region) const {
        for (auto *size : {&region.valid_rows, &region.valid_columns}) {
            if (*size) {
                *size = value(**size);
            }
        }
        return tile_of(region, values_);
    }

    void run(const workload::TaskNode &task) {
        std::vector<kernel::Argument> arguments;
        for (const workload::TaskArgument &argument : task.arguments) {
            if (const auto *region = std::get_if<workload::Region>(&argument.value)) {
                arguments.emplace_back(tile_at(*region));
            } else if (const auto *expr = std::get_if<ScalarExpr>(&argument.value)) {
                arguments.emplace_back(value(*expr));
            } else {
                arguments.emplace_back(std::get<double>(argument.value));
            }
        }
        kernel::evaluate(*task.kernel->program, arguments, workload::task_symbols(task, {}));
    }

    const RunData &data_;
    std::map<std::string, int64_t> values_;
    std::vector<int64_t> slots_ = std::vector<int64_t>(slot_words);
};

}  // namespace

void interpret(const workload::Workload &workload) {
    Interpreter{workload};
}

void expect_sequential_result(const Workload &workload, const CompileOptions &options) {
    const workload::Workload &built = workload.built();
    const auto before = contents(built);
    interpret(built);
    const auto expected = contents(built);
    restore(built, before);
    Program program = workload.compile(options);
    run(program);
    for (size_t t = 0; t < expected.size(); ++t) {
        const TensorView &view = built.tensors()[t]->view;
        if (view.dtype != F32) {
            ASSERT_EQ(std::memcmp(expected[t].data(), view.data, expected[t].size()), 0)
                << built.tensors()[t]->name << "\n"
                << built.str();
            continue;
        }
        const auto *wanted = reinterpret_cast<const float *>(expected[t].data());
        const auto *got = static_cast<const float *>(view.data);
        for (int64_t i = 0; i < element_count(view.shape); ++i) {
            const bool both_nan = std::isnan(wanted[i]) && std::isnan(got[i]);
            ASSERT_TRUE(both_nan || wanted[i] == got[i])
                << built.tensors()[t]->name << ", element " << i << ": " << got[i] << ", expected "
                << wanted[i] << "\n"
                << built.str();
        }
    }
}

bool passes_in_new_process(const std::string &filter,
                           const std::map<std::string, std::string> &environment) {
    std::string command = "env";
    for (const auto &[name, value] : environment) {
        command += fmt::format(" {}='{}'", name, value);
    }
    const std::string self = std::filesystem::read_symlink("/proc/self/exe").string();
    const std::string log = fmt::format("{}/log.{}", std::getenv("PTO_WSP_CACHE_DIR"), getpid());
    command += fmt::format(" '{}' --gtest_also_run_disabled_tests --gtest_filter='{}' > '{}' 2>&1",
                           self, filter, log);
    const bool passed =
        std::system(command.c_str()) == 0 &&
        std::system(
            fmt::format("grep -q PASSED '{}' && ! grep -q ' 0 tests' '{}'", log, log).c_str()) == 0;
    if (!passed) {
        std::system(fmt::format("cat '{}' >&2", log).c_str());
    }
    return passed;
}

namespace {

/// Each run starts with nothing compiled; processes that a test starts share the directory.
class EmptyCache : public ::testing::Environment {
public:
    EmptyCache() {
        if (std::getenv("PTO_WSP_TEST_CHILD") == nullptr) {
            char name[] = "/tmp/pto_wsp_program_XXXXXX";
            directory_ = mkdtemp(name);
            setenv("PTO_WSP_CACHE_DIR", directory_.c_str(), 1);
            setenv("PTO_WSP_TEST_CHILD", "1", 1);
        }
    }
    void TearDown() override {
        if (!directory_.empty()) {
            std::filesystem::remove_all(directory_);
        }
    }

private:
    std::string directory_;
};

[[maybe_unused]] const ::testing::Environment *const empty_cache =
    ::testing::AddGlobalTestEnvironment(new EmptyCache);

}  // namespace
}  // namespace pto::wsp::test
