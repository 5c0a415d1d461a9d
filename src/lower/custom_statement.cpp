#include "custom_statement.h"

#include "pipeline_statement.h"
#include "pto/wsp/support/error.h"
#include "statements.h"

namespace pto::wsp::lower {

using namespace Halide::Internal;
using Halide::Expr;
using Halide::Handle;
using Halide::Int;
using Halide::UInt;

namespace {

Stmt body_call(const KernelVariant &variant) {
    if (variant.body_symbol.empty()) {
        throw InternalError("lower-custom", "no code for the body of " + variant.program->name);
    }
    std::vector<Expr> words = slot_words(*variant.program);
    if (words.empty()) {
        words.push_back(make_const(Int(64), 0));
    }
    Expr slots = Call::make(Handle(), Call::make_struct, words, Call::Intrinsic);
    Expr call = Call::make(Handle(), variant.body_symbol, {slots}, Call::Extern);
    Expr failure = Variable::make(Handle(), "failure");
    Expr failed = reinterpret(UInt(64), failure) != make_const(UInt(64), 0);
    Stmt leave = Evaluate::make(Call::make(Int(32), "halide_error", {failure}, Call::Extern));
    return LetStmt::make("failure", call, IfThenElse::make(failed, leave));
}

}  // namespace

Stmt custom_statement(const KernelVariant &variant, const Target &target) {
    const auto *pipeline = dynamic_cast<const PipelineBody *>(variant.program->custom.get());
    Stmt body =
        pipeline != nullptr ? pipeline_statement(variant, *pipeline, target) : body_call(variant);
    for (size_t p = 0; p < variant.layouts.size(); ++p) {
        if (variant.layouts[p].copied) {
            body = copy_first(variant.program->params[p], body);
        }
    }
    return body;
}

}  // namespace pto::wsp::lower
