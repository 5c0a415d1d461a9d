#include "pto/wsp/kernel/coverage.h"

#include "check.h"
#include "pto/wsp/kernel/builder.h"
#include "pto/wsp/support/error.h"
#include "pto/wsp/support/text.h"

namespace pto::wsp::kernel {

namespace {

constexpr int64_t size = 32;

/// A kernel that applies one row to tiles of `dtype`; what refuses it throws.
class Sample {
public:
    Sample(const OpInfo &row, DType dtype) : row_(row), dtype_(dtype) {}

    void build() {
        if (row_.kind == OpKind::Memory || row_.kind == OpKind::Control) {
            move();
            return;
        }
        std::vector<Value> operands;
        for (const TileType &type : sample_operands(row_, dtype_)) {
            operands.push_back(type.dtype == DType::Mask ? mask() : input(type));
        }
        Value result = builder_.op(row_.op, operands, attributes());
        if (operands.empty()) {
            TileType type = builder_.type(result);
            type.dtype = dtype_;
            builder_.store(output(type), result);
        }
    }

private:
    int param(const std::string &name, Direction direction, const TileType &type) {
        return builder_.param({name, Param::Kind::Tile, direction, type, {}});
    }
    int output(const TileType &type) { return param("out", Direction::Out, type); }
    Value input(const TileType &type) {
        return builder_.load(param("x" + std::to_string(inputs_++), Direction::In, type));
    }
    Value mask() {
        Value x = input({DType::F32, size, size});
        return builder_.op(Op::Lt, {x, x});
    }

    /// Loads, goes through a loop and stores.
    void move() {
        const TileType type{dtype_, size, size};
        Value bound = builder_.constant(Number(1), DType::I32);
        Value value = builder_.fori_loop(bound, bound, {input(type)},
                                         [](Value, const std::vector<Value> &x) { return x; })[0];
        if (row_.op == Op::StoreMasked) {
            builder_.store_masked(output(type), value, mask());
        } else {
            builder_.store(output(type), value);
        }
    }

    Attributes attributes() const {
        Attributes result;
        for (const std::string &name : split(row_.attributes)) {
            if (name == "rows" || name == "columns" || name == "k") {
                result[name] = Affine(name == "k" ? size / 2 : size);
            } else if (name == "label" || name == "place") {
                result[name] = name;
            } else if (name == "dtype") {
                result[name] = pto::wsp::name(dtype_);
            } else if (name == "eps") {
                result[name] = 0.25;
            } else if (name == "value") {
                result[name] = is_integer(dtype_) ? Attribute(int64_t{1}) : Attribute(1.0);
            }
        }
        return result;
    }

    static std::vector<std::string> split(std::string_view text) {
        std::vector<std::string> parts;
        while (!text.empty()) {
            size_t comma = text.find(',');
            std::string_view part = text.substr(0, comma);
            part.remove_prefix(part.find_first_not_of(' '));
            parts.emplace_back(part.substr(0, part.find_first_of("=?")));
            text = comma == std::string_view::npos ? "" : text.substr(comma + 1);
        }
        return parts;
    }

    const OpInfo &row_;
    DType dtype_;
    Builder builder_{"coverage"};
    int inputs_ = 0;
};

CoverageCell cell_of(const OpInfo &row, DType dtype) {
    CoverageCell cell{row.name, dtype, row.accuracy, ""};
    try {
        Sample(row, dtype).build();
    } catch (const CompileError &error) {
        cell.refusal = error.text();
    }
    return cell;
}

/// As exact as the least exact of its operations, refused by the first that refuses.
CoverageCell cell_of(const ComposedInfo &composed, DType dtype) {
    CoverageCell cell{composed.name, dtype, accuracy::exact, ""};
    for (const OpInfo &row : ops()) {
        std::string among = ", " + std::string(composed.operations) + ",";
        if (among.find(" " + std::string(row.name) + ",") == std::string::npos) {
            continue;
        }
        CoverageCell of = cell_of(row, dtype);
        cell.refusal = cell.accepted() ? of.refusal : cell.refusal;
        cell.accuracy = of.accuracy.kind > cell.accuracy.kind ? of.accuracy : cell.accuracy;
    }
    return cell;
}

template <typename Rows> void add_cells(std::vector<CoverageCell> &cells, const Rows &rows) {
    for (const auto &row : rows) {
        for (const DTypeInfo &type : dtypes()) {
            if (type.dtype != DType::Mask) {
                cells.push_back(cell_of(row, type.dtype));
            }
        }
    }
}

}  // namespace

std::string CoverageCell::str() const {
    return accepted() ? accuracy.str(dtype) : "refused: " + refusal;
}

std::vector<TileType> sample_operands(const OpInfo &row, DType dtype) {
    std::vector<TileType> types;
    for (int i = 0; i < row.min_arity(); ++i) {
        const std::string name = operand_name(row, static_cast<size_t>(i));
        if (is_index_operand(row, static_cast<size_t>(i))) {
            types.push_back({DType::I32, 1, 1});
            continue;
        }
        DType of = name == "condition" || name == "mask" ? DType::Mask
                   : name == "idx"                       ? DType::U32
                                                         : dtype;
        // It sorts one row of 32.
        types.push_back({of, row.op == Op::Tsort32 ? 1 : size, size});
    }
    return types;
}

std::vector<CoverageCell> coverage() {
    std::vector<CoverageCell> cells;
    add_cells(cells, ops());
    add_cells(cells, composed());
    return cells;
}

}  // namespace pto::wsp::kernel
