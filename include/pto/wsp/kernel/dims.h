#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "pto/wsp/kernel/program.h"

namespace pto::wsp::kernel {

/// `program` with Symbols of its dims replaced by `values`; others stay.
std::shared_ptr<const TileProgram> substitute_dims(const TileProgram &program,
                                                   const std::map<std::string, Affine> &values);

/// The Symbol that `dim` is; null when it is a number or made of Symbols.
const std::string *symbol_of(const Affine &dim);

/// The Symbol that stands for the valid rows (columns) of a partial parameter.
std::string valid_rows_symbol(const Param &param);
std::string valid_columns_symbol(const Param &param);

/// Parameters (by index) whose rows (first) or columns (second) must have the same valid size,
/// because they meet in an operation.
struct DimClass {
    std::vector<int> rows_of;
    std::vector<int> columns_of;
};

/// The classes of more than one dim of the tile parameters of `program`; dims of 1 that broadcast
/// meet nothing.
std::vector<DimClass> dim_classes(const TileProgram &program);

/// A program whose partial parameters have sizes known at run time only.
struct PartialProgram {
    std::shared_ptr<const TileProgram> program;
    std::vector<DimClass> classes;  ///< those of more than one dim of a partial parameter
};

/// `program` for views that may be smaller than the parameters they are given for.
///
/// Two dims are of one class when an operation makes them meet: operands of an elementwise
/// operation, both sides of a product's sum, a load and its parameter. Each class that has a dim
/// of a partial parameter gets that parameter's valid size, so reductions and products run over the
/// valid part, nothing outside of it is read or written, and a whole parameter that meets a partial
/// one is used in its valid part only. A dim that is a Symbol stays: views have all of it. Windows
/// of partial parameters are refused (TypeCheckError).
PartialProgram with_valid_sizes(const TileProgram &program, const std::vector<bool> &partial);

}  // namespace pto::wsp::kernel
