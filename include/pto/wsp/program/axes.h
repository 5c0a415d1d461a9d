#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "pto/wsp/program/expressions.h"
#include "pto/wsp/workload/workload.h"

namespace pto::wsp {

/// An axis of `size` places: `Dense(4)`. Its loop variable has the given name for keys and texts,
/// and otherwise those that the workload gives it (see `workload::LoopVar`).
struct Dense {
    Dense(int64_t size, std::string name = "", Loc at = Loc::here())  // NOLINT: sizes are axes
        : size(size), name(std::move(name)), at(std::move(at)) {}

    int64_t size;
    std::string name;
    Loc at;
};

/// An axis whose size a run decides: an expression over symbols, loop variables around it and
/// slots, `DenseDyn(symbol_u64("n"))`, `DenseDyn(4 - i)`. A negative one counts as 0.
struct DenseDyn {
    template <class T>
    requires(ExpressionLike<T>) DenseDyn(const T &size, std::string name = "", Loc at = Loc::here())
        : size(as_expr(size)), name(std::move(name)), at(std::move(at)) {}

    ScalarExpr size;
    std::string name;
    Loc at;
};

struct AnyAxis;

/// Rows of different lengths, which each run may have anew: `program.set_tables({{name,
/// lengths}})`, or the offsets where it is made of those.
class Ragged {
public:
    /// TypeCheckError for a negative length.
    Ragged(std::string name, std::vector<int64_t> lengths, Loc at = Loc::here());
    /// Rows that lie one after another: where each starts and, last, where all end. `P(ragged)`
    /// runs over all places of all rows then, and row b has those from `offset(b)` on.
    /// TypeCheckError unless they start at 0 and do not decrease.
    static Ragged of_offsets(std::string name, std::vector<int64_t> offsets, Loc at = Loc::here());

    int64_t outer_size() const { return static_cast<int64_t>(lengths().size()); }
    const std::vector<int64_t> &lengths() const { return lengths_; }
    int64_t total() const;
    /// Where a row starts, in the body of a workload. CompileError elsewhere, as of `length`, and
    /// for a Ragged of lengths.
    ScalarExpr offset(const ScalarExpr &row, const Loc &at = Loc::here()) const;
    template <class T>
    requires(ExpressionLike<T>) ScalarExpr offset(const T &row)
    const { return offset(as_expr(row), at_); }
    /// The length of a row, in the body of a workload. CompileError elsewhere, and where another
    /// axis has the name with other lengths.
    ScalarExpr length(const ScalarExpr &row, const Loc &at = Loc::here()) const;
    template <class T>
    requires(ExpressionLike<T>) ScalarExpr length(const T &row)
    const { return length(as_expr(row), at_); }
    /// The axis of a row; as `length`.
    template <class T>
    requires(ExpressionLike<T> || IntegerLike<T>) AnyAxis operator[](const T &row) const;

private:
    friend struct AnyAxis;
    workload::Axis places() const;

    std::string name_;
    std::vector<int64_t> lengths_;
    RunData::Values table_;  ///< the lengths or the offsets
    bool has_offsets_ = false;
    Loc at_;
};

/// Rows of selected places, in CSR form, which each run may have anew: the tables `<name>.indptr`
/// and `<name>.indices`.
class Sparse {
public:
    /// TypeCheckError unless `indptr` starts at 0, does not decrease and ends at the number of
    /// `indices`, none of which is negative.
    Sparse(std::string name, std::vector<int64_t> indptr, std::vector<int64_t> indices,
           Loc at = Loc::here());

    int64_t outer_size() const { return static_cast<int64_t>(indptr_->size()) - 1; }
    int64_t nnz() const { return static_cast<int64_t>(indices_->size()); }
    const std::vector<int64_t> &indptr() const { return *indptr_; }
    const std::vector<int64_t> &indices() const { return *indices_; }
    /// The places of a row, for `P.sel`, in the body of a workload; as `Ragged::length`.
    template <class T>
    requires(ExpressionLike<T> || IntegerLike<T>) AnyAxis operator[](const T &row) const;

private:
    AnyAxis row(const ScalarExpr &row) const;

    std::string name_;
    RunData::Values indptr_;
    RunData::Values indices_;
    Loc at_;
};

/// Any of these, where a loop takes one.
struct AnyAxis {
    AnyAxis(workload::Axis axis, std::string table, ScalarExpr first)
        : axis(std::move(axis)), table(std::move(table)), first(std::move(first)) {}
    AnyAxis(const Dense &axis)  // NOLINT: axes of each kind are axes
        : axis{workload::Axis::Kind::Dense, axis.size, axis.name, axis.at} {}
    AnyAxis(const DenseDyn &axis)  // NOLINT
        : axis{workload::Axis::Kind::DenseDyn, axis.size, axis.name, axis.at} {}
    template <IntegerLike T>
    AnyAxis(T size, Loc at = Loc::here())  // NOLINT
        : axis{workload::Axis::Kind::Dense, static_cast<int64_t>(size), "", std::move(at)} {}

    /// All places of all rows, in the body of a workload: CompileError elsewhere, and for a Ragged
    /// of lengths.
    AnyAxis(const Ragged &axis) : axis(axis.places()) {}  // NOLINT

    workload::Axis axis;
    std::string table;     ///< of the places that a row of a `Sparse` selects
    ScalarExpr first = 0;  ///< of them in the table
};

/// The axis of a row.
template <class T>
requires(ExpressionLike<T> || IntegerLike<T>) AnyAxis Ragged::operator[](const T &row) const {
    return {{workload::Axis::Kind::Ragged, length(as_expr(row), at_), "", at_}, "", 0};
}
/// The places of a row.
template <class T>
requires(ExpressionLike<T> || IntegerLike<T>) AnyAxis Sparse::operator[](const T &row) const {
    return this->row(as_expr(row));
}

}  // namespace pto::wsp
