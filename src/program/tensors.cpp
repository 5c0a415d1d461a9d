#include "pto/wsp/program/tensors.h"

#include <fmt/format.h>

#include "building.h"

namespace pto::wsp {

namespace {

workload::Region whole_of(std::string name, TensorView view, const Loc &at) {
    return workload::whole(std::make_shared<const workload::Tensor>(
                               workload::Tensor{std::move(name), std::move(view), at}),
                           at);
}

/// The array of a caller. A kernel never writes it when it is const: calls check that.
TensorView borrowed(const void *data, size_t count, size_t bytes, const Shape &shape, DType dtype,
                    const Loc &at) {
    if (static_cast<int64_t>(bytes) != size_bytes(dtype)) {
        throw TypeCheckError(at, fmt::format("Tensor: {} has {} bytes, an element of the data {}",
                                             info(dtype).user_name, size_bytes(dtype), bytes));
    }
    if (static_cast<int64_t>(count) != element_count(shape)) {
        throw TypeCheckError(at, fmt::format("Tensor: shape {} has {} elements, the data {}",
                                             shape_text(shape), element_count(shape), count));
    }
    return {const_cast<void *>(data), dtype, shape, contiguous_strides(shape), nullptr};
}

}  // namespace

Tensor::Tensor(std::string name, const Shape &shape, DType dtype, Loc at)
    : region_(whole_of(std::move(name), allocate_tensor(shape, dtype), at)) {}

Tensor::Tensor(std::string name, TensorView view, Loc at)
    : region_(whole_of(std::move(name), std::move(view), at)) {}

Tensor::Tensor(std::string name, const void *data, size_t count, size_t bytes, const Shape &shape,
               DType dtype, bool read_only, Loc at)
    : region_(whole_of(std::move(name), borrowed(data, count, bytes, shape, dtype, at), at)),
      writeable_(!read_only) {}

IndexAt::IndexAt(const ScalarExpr &index, Loc at) : at_(std::move(at)) {
    index_ = Building::required("an index that a run decides", at_).builder.index_of(index, at_);
}

Tensor Tensor::operator[](const IndexAt &i) const {
    return {workload::index(region_, i.index(), i.at()), writeable_};
}

Tensor Tensor::slice(const Affine &begin, const Affine &end, Loc at) const {
    return {workload::slice(region_, begin, end, std::move(at)), writeable_};
}

Tensor Tensor::valid(ValidPart part, Loc at) const {
    return {workload::valid(region_, std::move(part.rows), std::move(part.cols), std::move(at)),
            writeable_};
}

TensorView Tensor::view(const Loc &at) const {
    TensorView whole = region_.tensor->view;
    TensorView result{whole.data, whole.dtype, {}, {}, whole.owner};
    int64_t offset = 0;
    for (size_t d = 0; d < region_.offsets.size(); ++d) {
        const auto place = region_.offsets[d].as_constant();
        if (!place) {
            throw TypeCheckError(at,
                                 fmt::format("tensor view {} moves with a loop variable and has no "
                                             "data of its own",
                                             region_.str()),
                                 {}, "pass it to a kernel in the workload");
        }
        if (*place < 0 || *place + region_.extents[d] > whole.shape[d]) {
            throw TypeCheckError(at, fmt::format("tensor view {} leaves {} of shape {}",
                                                 region_.str(), name(), shape_text(whole.shape)));
        }
        offset += *place * whole.strides[d];
    }
    for (const int dim : region_.keep) {
        result.shape.push_back(region_.extents[static_cast<size_t>(dim)]);
        result.strides.push_back(whole.strides[static_cast<size_t>(dim)]);
    }
    if (element_count(result.shape) != 0) {
        result.data = static_cast<std::byte *>(whole.data) + offset * size_bytes(whole.dtype);
    }
    return result;
}

Tensor::operator TensorView() const {
    if (!writeable_) {
        throw TypeCheckError(
            region_.at,
            fmt::format("{} is read-only: its array is one of constants", region_.str()), {},
            "pass its view() where it is only read");
    }
    return view({});
}

void *Tensor::elements(DType wanted, const Loc &at) const {
    const bool bits = wanted == DType::U16 && (dtype() == DType::F16 || dtype() == DType::BF16);
    if (wanted != dtype() && !bits) {
        throw TypeCheckError(at, fmt::format("span: {} is {}, not {}", region_.str(),
                                             info(dtype()).user_name, info(wanted).user_name));
    }
    const TensorView elements = view(at);
    if (!elements.is_contiguous()) {
        throw TypeCheckError(at,
                             fmt::format("span: {} is not contiguous: its strides are {}",
                                         region_.str(), shape_text(elements.strides)),
                             {}, "use view(), which has strides");
    }
    return elements.data;
}

}  // namespace pto::wsp
