#include "bind_buffers.h"

#include <cstring>

#include "pto/wsp/support/error.h"

namespace pto::wsp::lower {

using namespace Halide::Internal;
using Halide::Expr;

namespace {

class BindBuffers : public IRMutator {
public:
    explicit BindBuffers(const std::map<std::string, BufferLayout> &layouts) : layouts_(layouts) {}

private:
    using IRMutator::visit;

    Expr visit(const Call *op) override {
        if (op->name.rfind("_halide_buffer_get_", 0) != 0 || op->args.empty()) {
            return IRMutator::visit(op);
        }
        const auto *buffer = op->args[0].as<Variable>();
        if (buffer == nullptr) {
            return IRMutator::visit(op);
        }
        auto it = layouts_.find(buffer->name.substr(0, buffer->name.rfind(".buffer")));
        if (it == layouts_.end()) {
            throw InternalError("bind-buffers", "no layout for " + buffer->name);
        }
        const BufferLayout &layout = it->second;
        std::string query = op->name.substr(std::strlen("_halide_buffer_get_"));
        if (query == "host") {
            return layout.host;
        }
        auto dim = static_cast<size_t>(op->args.size() > 1 ? *as_const_int(op->args[1]) : 0);
        if (query == "min") {
            return 0;
        }
        if (query == "extent") {
            return layout.extents[dim];
        }
        if (query == "max") {
            return layout.extents[dim] - 1;
        }
        if (query == "stride") {
            return layout.strides[dim];
        }
        throw InternalError("bind-buffers", "unknown query " + op->name);
    }

    const std::map<std::string, BufferLayout> &layouts_;
};

}  // namespace

Stmt bind_buffers(const Stmt &statement, const std::map<std::string, BufferLayout> &layouts) {
    return BindBuffers(layouts).mutate(statement);
}

}  // namespace pto::wsp::lower
