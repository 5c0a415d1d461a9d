#include "kernel_code.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "pto/wsp/backend/cpu/cpp_body.h"
#include "pto/wsp/kernel/custom.h"
#include "pto/wsp/kernel/rules.h"
#include "pto/wsp/support/error.h"
#include "pto/wsp/support/json.h"

namespace pto::wsp {

std::string KernelRequest::key() const {
    std::string text = program->str();
    for (const lower::ParamLayout &layout : layouts) {
        text += layout.str() + "\n";
    }
    for (const kernel::DimClass &dims : unproven) {
        text += fmt::format("equal rows of {} columns of {}\n", fmt::join(dims.rows_of, " "),
                            fmt::join(dims.columns_of, " "));
    }
    text += fmt::format("blocks {} {} {}\n{}\n", blocks.m, blocks.n, blocks.k, body_symbol);
    return text + (schedule ? canonical_json(schedule->json()) : "heuristic");
}

namespace {

/// `program` with the products of BF16 matrices in memory summed in pairs. What the kernel itself
/// computes is not there as BF16, and to make pairs of it costs more than they save.
std::shared_ptr<const kernel::TileProgram>
with_pairs(const std::shared_ptr<const kernel::TileProgram> &program) {
    auto in_memory = [&](kernel::Value value) {
        int node = program->values[static_cast<size_t>(value)].node;
        return node >= 0 && program->nodes[static_cast<size_t>(node)].op == kernel::Op::Load &&
               program->type(value).dtype == DType::BF16;
    };
    auto paired = std::make_shared<kernel::TileProgram>(*program);
    for (kernel::Node &node : paired->nodes) {
        if (node.op != kernel::Op::Matmul || kernel::has_flag(node.attributes, "skip_zeros") ||
            !in_memory(node.operands[0]) || !in_memory(node.operands[1])) {
            continue;
        }
        const kernel::TileType &a = program->type(node.operands[0]);
        bool by_rows = kernel::has_flag(node.attributes, "trans_a");
        std::optional<int64_t> depth = (by_rows ? a.rows : a.columns).as_constant();
        if (depth && *depth > 0 && *depth % 2 == 0) {
            node.attributes["pairs"] = true;
        }
    }
    return paired;
}

kernel::PartialProgram partial_program(const kernel::TileProgram &program,
                                       const std::vector<lower::ParamLayout> &layouts) {
    std::vector<bool> partial;
    partial.reserve(layouts.size());
    for (const lower::ParamLayout &layout : layouts) {
        partial.push_back(layout.partial);
    }
    return kernel::with_valid_sizes(program, partial);
}

}  // namespace

std::vector<kernel::DimClass> meeting_dims(const kernel::TileProgram &program,
                                           const std::vector<lower::ParamLayout> &layouts) {
    bool partial = std::any_of(layouts.begin(), layouts.end(),
                               [](const lower::ParamLayout &layout) { return layout.partial; });
    return partial && program.custom == nullptr ? partial_program(program, layouts).classes
                                                : std::vector<kernel::DimClass>{};
}

lower::KernelVariant prepare(const KernelRequest &request, const lower::Target &target,
                             Reasons *reasons) {
    lower::KernelVariant variant;
    variant.layouts = request.layouts;
    variant.unproven = request.unproven;
    variant.body_symbol = request.body_symbol;
    if (request.program->custom != nullptr) {
        variant.program = request.program;
        return variant;
    }
    variant.program = partial_program(*request.program, request.layouts).program;
    variant.program = kernel::rewrite_tile_program(*variant.program, reasons);
    if (request.schedule) {
        variant.schedule = *request.schedule;
        return variant;
    }
    if (target.bfloat_dot) {
        variant.program = with_pairs(variant.program);
    }
    schedule::Machine machine{target.vector_bytes / 4, target.vector_registers, target.l1d_bytes,
                              target.l2_bytes};
    variant.schedule = schedule::default_schedule(
        *variant.program, schedule::outline(*variant.program), machine, request.blocks);
    return variant;
}

void KernelRequest::compile_body(const lower::Target &target, backend::cpu::Externals &externals,
                                 bool *hit, const Loc &at) {
    if (program->custom == nullptr) {
        return;
    }
    if (schedule) {
        throw ScheduleError(at,
                            fmt::format("kernel '{}' has a body in {}: there is nothing that a "
                                        "schedule could apply to",
                                        program->name, program->custom->language()),
                            {{program->at, "declared here"}});
    }
    if (dynamic_cast<const kernel::CppBody *>(program->custom.get()) == nullptr) {
        return;
    }
    const backend::cpu::CompiledBody body = backend::cpu::compile_cpp_body(*program, target);
    body_symbol = body.symbol;
    adds_cycles = body.adds_cycles;
    externals[body.symbol] = body.address;
    *hit = *hit && body.hit;
}

std::string kernel_symbol(const Hash128 &hash) {
    return "k" + hash.hex().substr(0, 16);
}

TileView tile_view(const TensorView &view) {
    TileView tile;
    tile.data = view.data;
    if (view.rank() >= 1) {
        tile.columns = view.shape.back();
        tile.column_stride = view.strides.back();
    }
    if (view.rank() >= 2) {
        size_t row = view.shape.size() - 2;
        tile.rows = view.shape[row];
        tile.row_stride = view.strides[row];
    }
    return tile;
}

void check_addressable(const std::string &kernel, const std::string &param, const TileView &tile,
                       const Loc &at) {
    auto check = [&](int64_t size, int64_t stride, const char *dim) {
        if (size > max_extent) {
            throw TypeCheckError(at,
                                 fmt::format("{}: '{}' has {} {}s, more than {}", kernel, param,
                                             size, dim, max_extent),
                                 {}, "pass parts of it");
        }
        if (size > 1 && (stride > max_extent || stride < -max_extent)) {
            throw TypeCheckError(
                at,
                fmt::format("{}: the {} stride of '{}' is {} elements, more than {}", kernel, dim,
                            param, stride, max_extent),
                {}, "pass a copy whose elements are closer together");
        }
    };
    check(tile.rows, tile.row_stride, "row");
    check(tile.columns, tile.column_stride, "column");
}

lower::ParamLayout layout_of(const TileView &tile, const kernel::TileType &type) {
    lower::ParamLayout layout;
    layout.unit_columns = tile.column_stride == 1 || tile.columns <= 1;
    layout.partial = !(type.rows == Affine(tile.rows)) || !(type.columns == Affine(tile.columns));
    auto reach = [](int64_t size, int64_t stride) {
        return size > 1 ? size * std::abs(stride) : 0;
    };
    layout.wide =
        reach(tile.rows, tile.row_stride) + reach(tile.columns, tile.column_stride) > INT32_MAX;
    return layout;
}

void append_slots(std::vector<int64_t> &slots, const TileView &view) {
    slots.push_back(std::bit_cast<int64_t>(view.data));
    slots.push_back(view.row_stride);
    slots.push_back(view.column_stride);
    slots.push_back(view.rows);
    slots.push_back(view.columns);
}

void append_slot(std::vector<int64_t> &slots, DType dtype, double value) {
    slots.push_back(scalar_word(dtype, value));
}

void copy_overlapping(const kernel::TileProgram &program, std::vector<lower::ParamLayout> &layouts,
                      size_t a, size_t b, const Loc &at) {
    for (size_t p : {a, b}) {
        if (program.params[p].direction == kernel::Direction::In) {
            layouts[p].copied = true;
            layouts[p].unit_columns = true;
            return;
        }
    }
    throw TypeCheckError(at,
                         fmt::format("{}: '{}' and '{}' are both written and overlap", program.name,
                                     program.params[a].name, program.params[b].name),
                         {}, "give each result memory of its own");
}

bool may_overlap(const TensorView &a, const TensorView &b) {
    auto range = [](const TensorView &view) {
        auto [low, high] = view.byte_extent();
        auto base = std::bit_cast<intptr_t>(view.data);
        return std::pair<intptr_t, intptr_t>{base + low, base + high};
    };
    auto [a_low, a_high] = range(a);
    auto [b_low, b_high] = range(b);
    return a_low < b_high && b_low < a_high;
}

}  // namespace pto::wsp
