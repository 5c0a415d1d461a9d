#include "memory.h"

#include <cstring>

namespace pto::wsp::kernel {

namespace {

template <typename T> T get(const char *element) {
    T value;
    std::memcpy(&value, element, sizeof(T));
    return value;
}

template <typename T> void put(char *element, T value) {
    std::memcpy(element, &value, sizeof(T));
}

double read_real(DType dtype, const char *element) {
    switch (dtype) {
    case DType::F16:
        return half_to_float(get<uint16_t>(element));
    case DType::BF16:
        return bfloat_to_float(get<uint16_t>(element));
    case DType::F32:
        return get<float>(element);
    default:
        return get<double>(element);
    }
}

void write_real(DType dtype, char *element, double exact) {
    double value = round_to(dtype, exact);
    switch (dtype) {
    case DType::F16:
        put(element, float_to_half(static_cast<float>(value)));
        break;
    case DType::BF16:
        put(element, float_to_bfloat(static_cast<float>(value)));
        break;
    case DType::F32:
        put(element, static_cast<float>(value));
        break;
    default:
        put(element, value);
    }
}

int64_t read_integer(DType dtype, const char *element) {
    switch (dtype) {
    case DType::I8:
        return get<int8_t>(element);
    case DType::I16:
        return get<int16_t>(element);
    case DType::I32:
        return get<int32_t>(element);
    case DType::U8:
        return get<uint8_t>(element);
    case DType::U16:
        return get<uint16_t>(element);
    case DType::U32:
        return get<uint32_t>(element);
    default:
        return get<int64_t>(element);
    }
}

void write_integer(DType dtype, char *element, int64_t value) {
    switch (size_bytes(dtype)) {
    case 1:
        put(element, static_cast<uint8_t>(value));
        break;
    case 2:
        put(element, static_cast<uint16_t>(value));
        break;
    case 4:
        put(element, static_cast<uint32_t>(value));
        break;
    default:
        put(element, value);
    }
}

}  // namespace

RefTile make_tile(DType dtype, int64_t rows, int64_t columns) {
    RefTile tile;
    tile.dtype = dtype;
    if (is_integer(dtype)) {
        tile.integer.setZero(rows, columns);
    } else {
        tile.real.setZero(rows, columns);
    }
    return tile;
}

Matrix::Matrix(const TensorView &view) : view_(view) {
    size_t rank = view.shape.size();
    columns_ = view.shape[rank - 1];
    column_stride_ = view.strides[rank - 1];
    if (rank > 1) {
        rows_ = view.shape[rank - 2];
        row_stride_ = view.strides[rank - 2];
    }
}

char *Matrix::element(int64_t row, int64_t column) const {
    int64_t offset = row * row_stride_ + column * column_stride_;
    return static_cast<char *>(view_.data) + offset * size_bytes(view_.dtype);
}

RefTile Matrix::read(int64_t row, int64_t column, int64_t rows, int64_t columns) const {
    RefTile tile = make_tile(view_.dtype, rows, columns);
    for (int64_t r = 0; r < rows; ++r) {
        for (int64_t c = 0; c < columns; ++c) {
            const char *from = element(row + r, column + c);
            if (is_integer(view_.dtype)) {
                tile.integer(r, c) = read_integer(view_.dtype, from);
            } else {
                tile.real(r, c) = read_real(view_.dtype, from);
            }
        }
    }
    return tile;
}

void Matrix::write(int64_t row, int64_t column, const RefTile &tile, const RefTile *mask) const {
    auto hidden = [&](int64_t r, int64_t c) {
        return mask != nullptr &&
               mask->real(mask->rows() == 1 ? 0 : r, mask->columns() == 1 ? 0 : c) == 0;
    };
    for (int64_t r = 0; r < tile.rows(); ++r) {
        for (int64_t c = 0; c < tile.columns(); ++c) {
            if (hidden(r, c)) {
                continue;
            }
            char *to = element(row + r, column + c);
            if (is_integer(view_.dtype)) {
                write_integer(view_.dtype, to, tile.integer(r, c));
            } else {
                write_real(view_.dtype, to, tile.real(r, c));
            }
        }
    }
}

}  // namespace pto::wsp::kernel
