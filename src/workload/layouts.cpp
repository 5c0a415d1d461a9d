#include "pto/wsp/workload/layouts.h"

#include <optional>

#include "pto/wsp/kernel/dims.h"

namespace pto::wsp::workload {

namespace {

/// One dimension of an argument that is sharded.
struct Sharded {
    const DistributedArgument *argument = nullptr;
    Distribution distribution;
};

class LayoutCheck {
public:
    LayoutCheck(const Kernel &kernel, const std::vector<DistributedArgument> &arguments,
                const Loc &at)
        : kernel_(kernel), arguments_(arguments), at_(at) {}

    /// Dims that meet in an operation.
    void check_tiles() const {
        if (kernel_.program == nullptr || kernel_.program->custom != nullptr) {
            return;
        }
        for (const kernel::DimClass &dims : kernel::dim_classes(*kernel_.program)) {
            std::optional<Sharded> known;
            for (const int param : dims.rows_of) {
                join(known, param, 1);
            }
            for (const int param : dims.columns_of) {
                join(known, param, 0);
            }
        }
    }

    /// Dims that are indexed by the same affine expression of loop variables.
    void check_indexed() const {
        for (size_t a = 0; a < arguments_.size(); ++a) {
            for (size_t b = a + 1; b < arguments_.size(); ++b) {
                check_pair(arguments_[a], arguments_[b]);
            }
        }
    }

private:
    void join(std::optional<Sharded> &known, int param, size_t from_end) const {
        for (const DistributedArgument &argument : arguments_) {
            if (argument.param != param) {
                continue;
            }
            const size_t kept = argument.region.keep.size();
            if (from_end < kept) {
                join(known, {&argument, of_kept(argument, kept - 1 - from_end)});
            }
        }
    }

    void join(std::optional<Sharded> &known, const Sharded &next) const {
        if (next.distribution.replicated()) {
            return;
        }
        if (known && known->distribution != next.distribution) {
            fail(*known, next);
        }
        known = known ? known : next;
    }

    void check_pair(const DistributedArgument &a, const DistributedArgument &b) const {
        for (size_t i = 0; i < a.region.offsets.size(); ++i) {
            for (size_t j = 0; j < b.region.offsets.size(); ++j) {
                const Affine &offset = a.region.offsets[i];
                if (!offset.is_constant() && offset == b.region.offsets[j] &&
                    a.region.extents[i] == b.region.extents[j]) {
                    std::optional<Sharded> known;
                    join(known, {&a, of_dim(a, i)});
                    join(known, {&b, of_dim(b, j)});
                }
            }
        }
    }

    static bool is_of_tensor(const DistributedArgument &argument) {
        return argument.layout.dims.size() == argument.region.offsets.size();
    }

    static Distribution of_kept(const DistributedArgument &argument, size_t kept) {
        const size_t dim =
            is_of_tensor(argument) ? static_cast<size_t>(argument.region.keep[kept]) : kept;
        return argument.layout.dims[dim];
    }

    /// Replicated when the layout is only of the kept dimensions.
    static Distribution of_dim(const DistributedArgument &argument, size_t dim) {
        return is_of_tensor(argument) ? argument.layout.dims[dim] : Distribution{};
    }

    [[noreturn]] void fail(const Sharded &one, const Sharded &other) const {
        const bool in_order = one.argument->param <= other.argument->param;
        const Sharded &a = in_order ? one : other;
        const Sharded &b = in_order ? other : one;
        const auto side = [&](const Sharded &sharded) {
            return "'" + kernel_.params[static_cast<size_t>(sharded.argument->param)].name +
                   "' is " + sharded.argument->layout.str();
        };
        throw LayoutIncompatibleError(
            at_,
            "kernel '" + kernel_.name + "': " + side(a) + " and " + side(b) +
                ": one dimension of both is " + a.distribution.str() + " and " +
                b.distribution.str(),
            {{a.argument->region.tensor->at, a.argument->region.tensor->name + " is made here"},
             {b.argument->region.tensor->at, b.argument->region.tensor->name + " is made here"}},
            "redistribute one of the two, as in relayout(" + b.argument->region.tensor->name +
                ", to=...)");
    }

    const Kernel &kernel_;
    const std::vector<DistributedArgument> &arguments_;
    const Loc &at_;
};

}  // namespace

void check_layouts(const Kernel &kernel, const std::vector<DistributedArgument> &arguments,
                   const Loc &at) {
    const LayoutCheck check(kernel, arguments, at);
    check.check_tiles();
    check.check_indexed();
}

}  // namespace pto::wsp::workload
