#include "pto/wsp/core/tile_text.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <vector>

#include <fmt/format.h>

namespace pto::wsp {

namespace {

constexpr int64_t most_elements = 1000;
constexpr int64_t edge = 3;

std::string float_text(DType dtype, double value) {
    if (std::isnan(value)) {
        return "nan";
    }
    if (std::isinf(value)) {
        return value < 0 ? "-inf" : "inf";
    }
    std::string text;
    for (int digits = 1; digits <= 17; ++digits) {
        text = fmt::format("{:.{}g}", value, digits);
        if (round_to(dtype, std::strtod(text.c_str(), nullptr)) == value) {
            break;
        }
    }
    // Without this a whole number above its digits reads as a power: 1e+02.
    if (double magnitude = std::fabs(value); magnitude < 1e16 && value == std::trunc(value)) {
        text = fmt::format("{:.0f}", value);
    }
    return text.find_first_of(".e") == std::string::npos ? text + "." : text;
}

/// Indices of `size` that are shown; -1 stands for those between.
std::vector<int64_t> shown(int64_t size, bool all) {
    std::vector<int64_t> indices;
    for (int64_t i = 0; i < size; ++i) {
        if (all || size <= 2 * edge || i < edge || i >= size - edge) {
            indices.push_back(i);
        } else if (i == edge) {
            indices.push_back(-1);
        }
    }
    return indices;
}

}  // namespace

std::string element_text(DType dtype, const Element &value) {
    if (const auto *integer = std::get_if<int64_t>(&value)) {
        return dtype == DType::U64 ? std::to_string(static_cast<uint64_t>(*integer))
                                   : std::to_string(*integer);
    }
    double number = std::get<double>(value);
    if (dtype == DType::Mask) {
        return number != 0 ? "True" : "False";
    }
    return float_text(dtype, number);
}

std::string tile_text(DType dtype, int64_t rows, int64_t columns,
                      const std::function<Element(int64_t row, int64_t column)> &at) {
    const bool all = rows * columns <= most_elements;
    const std::vector<int64_t> columns_shown = shown(columns, all);
    const std::vector<int64_t> rows_shown = shown(rows, all);
    std::vector<std::string> texts;
    size_t width = 0;
    for (int64_t r : rows_shown) {
        for (int64_t c : columns_shown) {
            texts.push_back(r < 0 || c < 0 ? "..." : element_text(dtype, at(r, c)));
            width = r < 0 || c < 0 ? width : std::max(width, texts.back().size());
        }
    }
    std::string text = "[";
    for (size_t i = 0; i < rows_shown.size(); ++i) {
        text += i == 0 ? "" : "\n ";
        if (rows_shown[i] < 0) {
            text += "...";
            continue;
        }
        text += "[";
        for (size_t c = 0; c < columns_shown.size(); ++c) {
            const std::string &element = texts[i * columns_shown.size() + c];
            text += (c == 0 ? "" : " ") +
                    (columns_shown[c] < 0 ? element : fmt::format("{:>{}}", element, width));
        }
        text += "]";
    }
    return text + "]";
}

std::string printed_tile(const std::string &title, DType dtype, int64_t rows, int64_t columns,
                         const std::function<Element(int64_t row, int64_t column)> &at) {
    return fmt::format("{}: Tile[{}, {}, {}]\n{}\n", title, rows, columns, info(dtype).user_name,
                       tile_text(dtype, rows, columns, at));
}

}  // namespace pto::wsp
