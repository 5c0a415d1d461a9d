#pragma once

#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "pto/wsp/kernel/custom.h"
#include "pto/wsp/kernel/tile.h"
#include "pto/wsp/program/expressions.h"
#include "pto/wsp/program/program.h"
#include "pto/wsp/program/tensors.h"

namespace pto::wsp {

/// The type of a tile: `Tile(512, 64, DType::F32)`. Dims may hold Symbols.
struct Tile : kernel::TileType {
    Tile(const Affine &rows, const Affine &columns, DType dtype)
        : kernel::TileType{dtype, rows, columns} {}
};

/// A tile parameter that is only read.
struct In : kernel::Param {
    In(std::string name, const Tile &tile, Loc at = Loc::here())
        : kernel::Param{std::move(name), Kind::Tile, kernel::Direction::In, tile, std::move(at)} {}
};
/// A tile parameter that is only written.
struct Out : kernel::Param {
    Out(std::string name, const Tile &tile, Loc at = Loc::here())
        : kernel::Param{std::move(name), Kind::Tile, kernel::Direction::Out, tile, std::move(at)} {}
};
/// A tile parameter that is read and written.
struct InOut : kernel::Param {
    InOut(std::string name, const Tile &tile, Loc at = Loc::here())
        : kernel::Param{std::move(name), Kind::Tile, kernel::Direction::InOut, tile,
                        std::move(at)} {}
};
/// A number that each task is given.
struct Scalar : kernel::Param {
    Scalar(std::string name, DType dtype, Loc at = Loc::here())
        : kernel::Param{
              std::move(name), Kind::Scalar, kernel::Direction::In, {dtype, 1, 1}, std::move(at)} {}
};

/// A name and the line that says it.
struct NameAt {
    NameAt(const char *name, Loc at = Loc::here())  // NOLINT: texts are names
        : name(name), at(std::move(at)) {}
    NameAt(std::string name, Loc at = Loc::here())  // NOLINT: texts are names
        : name(std::move(name)), at(std::move(at)) {}

    std::string name;
    Loc at;
};

/// The parameters, as the body of a kernel sees them.
class Parameters {
public:
    Parameters(kernel::Builder &builder, std::map<std::string, int> indices, std::string kernel)
        : builder_(builder), indices_(std::move(indices)), kernel_(std::move(kernel)) {}

    /// The tile parameter of that name. TypeCheckError when there is none.
    tile::Param operator[](const NameAt &name) const;
    /// The value of the scalar parameter of that name. TypeCheckError when there is none.
    tile::Tile scalar(const std::string &name, const Loc &at = Loc::here()) const;
    /// What tiles are made in: for `tile::constant`, `tile::row_index`.
    kernel::Builder &builder() const { return builder_; }

private:
    int find(const std::string &name, kernel::Param::Kind kind, const Loc &at) const;

    kernel::Builder &builder_;
    std::map<std::string, int> indices_;
    std::string kernel_;
};

/// An argument of a task, by position or `{"name", value}`: a tensor for a tile, a number or an
/// expression of loop variables for a scalar.
class TaskInput {
public:
    /// What may be passed.
    using Value = std::variant<Tensor, ScalarExpr, double>;

    TaskInput(const Tensor &tensor, Loc at = Loc::here())  // NOLINT: tensors are arguments
        : value_(tensor), at_(std::move(at)) {}
    template <class T>
    requires(ExpressionLike<T> || IntegerLike<T>)
        TaskInput(const T &value, Loc at = Loc::here())  // NOLINT: expressions are arguments
        : value_(as_expr(value)), at_(std::move(at)) {}
    template <std::floating_point T>
    TaskInput(T value, Loc at = Loc::here())  // NOLINT: numbers are arguments
        : value_(static_cast<double>(value)), at_(std::move(at)) {}
    template <class T>
    TaskInput(const char *name, const T &value, Loc at = Loc::here())
        : TaskInput(value, std::move(at)) {
        name_ = name;
    }

    /// Empty: by position.
    const std::string &name() const { return name_; }
    const Value &value() const { return value_; }
    const Loc &at() const { return at_; }

private:
    std::string name_;
    Value value_;
    Loc at_;
};

class Kernel;

/// The subscripts of a call: `k[b]`, `k[{b, h}]`.
class Subscripts {
public:
    template <class T>
    requires(ExpressionLike<T> || IntegerLike<T>)
        Subscripts(const T &axis)  // NOLINT: one subscript needs no braces
        : axes_{as_expr(axis)} {}
    template <class A, class B, class... More>
    Subscripts(const A &first, const B &second, const More &...more)
        : axes_{as_expr(first), as_expr(second), as_expr(more)...} {}

    const std::vector<ScalarExpr> &axes() const { return axes_; }

private:
    std::vector<ScalarExpr> axes_;
};

/// `k[{b, h}]`; calling it in a workload emits a task.
class BoundKernel {
public:
    BoundKernel(workload::KernelPtr kernel, std::vector<ScalarExpr> axes)
        : kernel_(std::move(kernel)), axes_(std::move(axes)) {}

    /// Emits a task. CompileError outside the body of a workload, TypeCheckError when an argument
    /// does not fit its parameter.
    void operator()(std::initializer_list<TaskInput> arguments, const Loc &at = Loc::here()) const;

private:
    workload::KernelPtr kernel_;
    std::vector<ScalarExpr> axes_;
};

/// C++ text as the body of a kernel; one of `text`, `body_path` and `unit_path`. See
/// kernel::CppBody. Relative paths are relative to the file that this is written in, else to the
/// working directory.
struct CppSource {
    std::string text = {};                       ///< the inside of the function
    std::string body_path = {};                  ///< a file that holds the inside
    std::string unit_path = {};                  ///< a file that defines the function
    std::vector<std::string> includes = {};      ///< `<cmath>`, `"mine.h"` or `mine.h`
    std::vector<std::string> include_dirs = {};  ///< searched first
    std::vector<kernel::CppBody::Constant> constants = {};
    Loc at = Loc::here();
    Loc text_at = {};  ///< where the first line of `text` stands, if that is known
};
/// Reads the file that `source` names. CompileError at `source.at` unless there is exactly one text
/// or file, and it can be read.
std::shared_ptr<const kernel::CppBody> cpp_body(const CppSource &source);

/// A function on tiles. Without a body it is a declaration, which `Program::register_kernel`
/// supplies. Copies are the same kernel; two kernels of one name are two kernels.
///
/// ```
/// const Kernel attn("attn",
///                   {In("Q", Tile(512, 64, DType::F32)), ..., Out("O", ...)},
///                   [](const Parameters &k) {
///                       tile::Tile scores = matmul(k["Q"], k["K"], {.trans_b = true}) * 0.125;
///                       store(k["O"], matmul(softmax(scores), k["V"]));
///                   });
/// ```
class Kernel {
public:
    /// A declaration.
    Kernel(std::string name, std::vector<kernel::Param> parameters, Loc at = Loc::here());
    /// Traces `body` at once; TypeCheckError at its line where tiles do not fit. What it throws
    /// passes through and leaves nothing behind.
    Kernel(std::string name, const std::vector<kernel::Param> &parameters,
           const std::function<void(const Parameters &)> &body, Loc at = Loc::here());
    /// A kernel that is there as a tile program, such as those of `pto/wsp/kernel/library.h`.
    explicit Kernel(std::shared_ptr<const kernel::TileProgram> program, Loc at = Loc::here());

    /// A kernel whose body is C++. It is compiled with what uses it.
    Kernel(std::string name, std::vector<kernel::Param> parameters, const CppSource &body,
           Loc at = Loc::here());

    const std::string &name() const { return handle_->name; }
    bool is_declaration() const { return handle_->program == nullptr; }
    /// The traced kernel. CompileError for a declaration.
    std::shared_ptr<const kernel::TileProgram> ir(const Loc &at = Loc::here()) const;
    /// What it is to a workload: key of `CompileOptions::kernels`.
    const workload::KernelPtr &handle() const { return handle_; }

    BoundKernel operator[](const Subscripts &subscripts) const {
        return {handle_, subscripts.axes()};
    }
    /// Emits a task without subscripts.
    void operator()(std::initializer_list<TaskInput> arguments, const Loc &at = Loc::here()) const {
        BoundKernel(handle_, {})(arguments, at);
    }

    /// Compiles it for calls on tensors. CompileError for a declaration.
    CompiledKernel compile(const KernelOptions &options = {}, const Loc &at = Loc::here()) const {
        return compile_kernel(ir(at), options, at);
    }

private:
    workload::KernelPtr handle_;
};

}  // namespace pto::wsp
