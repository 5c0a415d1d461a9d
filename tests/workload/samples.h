#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "pto/wsp/workload/builder.h"
#include "pto/wsp/workload/workload.h"

namespace pto::wsp::workload::test {

inline TensorPtr tensor(const std::string &name, const Shape &shape, DType dtype = DType::F32) {
    return std::make_shared<Tensor>(Tensor{name, allocate_tensor(shape, dtype), Loc{"user.py", 3}});
}

inline kernel::Param tile(const std::string &name, kernel::Direction direction, Affine rows,
                          Affine columns, DType dtype = DType::F32) {
    return {name,
            kernel::Param::Kind::Tile,
            direction,
            {dtype, std::move(rows), std::move(columns)},
            Loc{"user.py", 7}};
}

inline kernel::Param scalar(const std::string &name, DType dtype) {
    return {
        name, kernel::Param::Kind::Scalar, kernel::Direction::In, {dtype, 1, 1}, Loc{"user.py", 8}};
}

inline KernelPtr declare(const std::string &name, std::vector<kernel::Param> params) {
    return std::make_shared<Kernel>(Kernel{name, std::move(params), nullptr, Loc{"user.py", 6}});
}

inline ScalarExpr var(const std::string &name) {
    return ScalarExpr::variable(name);
}
inline Affine at(const std::string &name) {
    return Affine::variable(name);
}

inline Argument arg(Region region) {
    return {"", std::move(region), {}};
}
inline Argument arg(ScalarExpr expr) {
    return {"", std::move(expr), {}};
}
inline Argument arg(const std::string &name, Region region) {
    return {name, std::move(region), {}};
}

/// `what()` of the error that `call` throws.
template <class Error> std::string error_of(const std::function<void()> &call) {
    try {
        call();
    } catch (const Error &error) {
        return error.what();
    }
    ADD_FAILURE() << "no error of that kind was thrown";
    return "";
}

}  // namespace pto::wsp::workload::test
