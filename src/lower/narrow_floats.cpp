#include "narrow_floats.h"

#include <algorithm>
#include <utility>

namespace pto::wsp::lower {

using namespace Halide::Internal;
using Halide::Expr;
using Halide::Target;
using Halide::Type;
using Halide::UInt;

namespace {

constexpr const char *half_value_name = "pto_wsp_half_value";
constexpr const char *half_bits_name = "pto_wsp_half_bits";
constexpr const char *bfloat_value_name = "pto_wsp_bfloat_value";
constexpr const char *bfloat_dot_name = "pto_wsp_bfloat_dot";
constexpr const char *opaque_name = "pto_wsp_opaque";
constexpr const char *opaque_term_name = "pto_wsp_opaque_term";
constexpr const char *bfloat_bits_name = "pto_wsp_bfloat_bits";
/// Shorter vectors are not found to have a conversion.
constexpr int least_bfloat_lanes = 16;
constexpr int least_dot_lanes = 4;

Expr call(Type type, const char *name, const Expr &x) {
    return Call::make(type, name, {x}, Call::PureExtern);
}

Type like(Type scalar, const Expr &x) {
    return scalar.with_lanes(x.type().lanes());
}

Expr as_bits(const Expr &value) {
    return Halide::reinterpret(like(UInt(32), value), value);
}

Expr as_float(const Expr &bits) {
    return Halide::reinterpret(like(Halide::Float(32), bits), bits);
}

Expr constant(const Expr &x, uint32_t value) {
    return make_const(x.type(), value);
}

/// `f(x)` with `x` computed once.
template <typename F> Expr with_value(const Expr &x, F f) {
    std::string name = unique_name("narrow");
    return Let::make(name, x, f(Variable::make(x.type(), name)));
}

/// Casts between f32 and f16, and sums, carry a promise that there are no NaN and no infinities,
/// and what LLVM concludes from it would spread from there. It does not look through the x86 mean
/// of 16-bit words; the mean of a word and itself is that word, which instruction selection knows.
Expr hidden(const Expr &value) {
    return with_value(value, [](const Expr &x) {
        Type words = UInt(16, x.type().bytes() / 2 * x.type().lanes());
        Expr word = Halide::reinterpret(words, x);
        Expr mean =
            Call::make(words, Call::rounding_halving_add, {word, word}, Call::PureIntrinsic);
        return Halide::reinterpret(x.type(), mean);
    });
}

Expr half_value_by_machine(const Expr &bits) {
    Expr half = Halide::reinterpret(like(Halide::Float(16), bits), bits);
    return hidden(Cast::make(like(Halide::Float(32), bits), half));
}

Expr half_bits_by_machine(const Expr &value) {
    Expr half = Cast::make(like(Halide::Float(16), value), value);
    return Halide::reinterpret(like(UInt(16), value), half);
}

Expr half_value_by_integers(const Expr &half) {
    Expr bits = Halide::cast(like(UInt(32), half), half);
    Expr magnitude = (bits & constant(bits, 0x7fff)) << constant(bits, 13);
    // The exponent is short of 112; a product is exact for subnormals too.
    Expr scale = make_const(like(Halide::Float(32), half), 0x1p112);
    Expr finite = as_bits(Call::make(scale.type(), Call::strict_mul, {as_float(magnitude), scale},
                                     Call::PureIntrinsic));
    Expr least_infinite = constant(bits, 0x0f800000);
    Expr infinite = magnitude | constant(bits, 0x7f800000);
    Expr quiet = infinite | constant(bits, 0x00400000);
    Expr special = Halide::select(magnitude > least_infinite, quiet, infinite);
    Expr sign = (bits & constant(bits, 0x8000)) << constant(bits, 16);
    return as_float(sign | Halide::select(magnitude >= least_infinite, special, finite));
}

Expr half_bits_by_integers(const Expr &value) {
    Expr bits = as_bits(value);
    Expr magnitude = bits & constant(bits, 0x7fffffff);
    // From 65520 on the carry of rounding gives infinity.
    Expr odd = (magnitude >> constant(bits, 13)) & constant(bits, 1);
    Expr normal = (magnitude - constant(bits, 0x38000000) + constant(bits, 0xfff) + odd) >>
                  constant(bits, 13);
    // A unit in the last place of 0.5 is the least f16, so this sum is rounded as f16.
    Expr bias = make_const(value.type(), 0.5);
    Expr sum = Call::make(value.type(), Call::strict_add, {as_float(magnitude), bias},
                          Call::PureIntrinsic);
    Expr subnormal = as_bits(sum) - constant(bits, 0x3f000000);
    Expr nan = ((magnitude >> constant(bits, 13)) & constant(bits, 0x3ff)) | constant(bits, 0x7e00);
    Expr finite = Halide::select(magnitude < constant(bits, 0x38800000), subnormal, normal);
    Expr special =
        Halide::select(magnitude > constant(bits, 0x7f800000), nan, constant(bits, 0x7c00));
    Expr sign = (bits >> constant(bits, 16)) & constant(bits, 0x8000);
    Expr rounded = Halide::select(magnitude >= constant(bits, 0x47800000), special, finite);
    return Halide::cast(like(UInt(16), value), sign | rounded);
}

Expr bfloat_bits_by_integers(const Expr &value) {
    Expr bits = as_bits(value);
    Expr odd = (bits >> constant(bits, 16)) & constant(bits, 1);
    Expr nearest = bits + constant(bits, 0x7fff) + odd;
    Expr quiet = bits | constant(bits, 0x00400000);
    Expr nan = (bits & constant(bits, 0x7fffffff)) > constant(bits, 0x7f800000);
    Expr result = Halide::select(nan, quiet, nearest) >> constant(bits, 16);
    return Halide::cast(like(UInt(16), value), result);
}

/// The instruction (by the name under which Halide's own code has it) takes subnormals for zero.
/// With the lowest bit of the exponent set they are normal numbers whose fractions round the same
/// way, and that bit is taken away afterwards.
Expr bfloat_bits_by_machine(const Expr &value) {
    Expr bits = as_bits(value);
    Expr subnormal = (bits & constant(bits, 0x7f800000)) == constant(bits, 0);
    Expr normal = Halide::select(subnormal, bits | constant(bits, 0x00800000), bits);
    Expr converted = Call::make(like(Halide::BFloat(16), value), "vcvtne2ps2bf16",
                                {as_float(normal)}, Call::PureExtern);
    Expr result = Halide::reinterpret(like(UInt(16), value), converted);
    return Halide::select(subnormal, result - constant(result, 0x80), result);
}

Expr bfloat_value_by_shift(const Expr &bits) {
    Expr wide = Halide::cast(like(UInt(32), bits), bits);
    return as_float(wide << constant(wide, 16));
}

/// Under the name that Halide's own code generator has for the instruction.
Expr bfloat_dot_by_machine(const Expr &sum, const Expr &a, const Expr &b) {
    Type pairs = Halide::BFloat(16, 2 * sum.type().lanes());
    return Call::make(sum.type(), "dot_product",
                      {sum, Halide::reinterpret(pairs, a), Halide::reinterpret(pairs, b)},
                      Call::PureExtern);
}

Expr bfloat_dot_by_products(const Expr &sum, const Expr &a, const Expr &b) {
    auto low = [](const Expr &pair) { return as_float(pair << constant(pair, 16)); };
    auto high = [](const Expr &pair) { return as_float(pair & constant(pair, 0xffff0000)); };
    return sum + low(a) * low(b) + high(a) * high(b);
}

class WriteConversions : public IRMutator {
public:
    explicit WriteConversions(const Target &target) {
        const bool wide = target.features_any_of({Target::AVX512, Target::AVX512_Skylake,
                                                  Target::AVX512_Cannonlake, Target::AVX512_KNL}) ||
                          has_bfloat_instructions(target);
        x86_ = target.arch == Target::X86;
        half_ = x86_ && (wide || target.has_feature(Target::F16C));
        bfloat_ = has_bfloat_instructions(target);
    }

private:
    using IRMutator::visit;

    Expr visit(const Call *op) override {
        if (op->name == opaque_name) {
            return hide(mutate(op->args[0]));
        }
        if (op->name == opaque_term_name) {
            Expr x = mutate(op->args[0]);
            return is_loaded(x) ? x : hide(x);
        }
        if (op->name == bfloat_value_name) {
            return bfloat_value_by_shift(mutate(op->args[0]));
        }
        if (op->name == bfloat_dot_name) {
            Expr sum = mutate(op->args[0]);
            Expr a = mutate(op->args[1]);
            Expr b = mutate(op->args[2]);
            bool machine = bfloat_ && op->type.lanes() >= least_dot_lanes;
            return machine ? bfloat_dot_by_machine(sum, a, b) : bfloat_dot_by_products(sum, a, b);
        }
        // What was just widened is not rounded again.
        for (auto [narrow, widen] : {std::pair{half_bits_name, half_value_name},
                                     std::pair{bfloat_bits_name, bfloat_value_name}}) {
            const auto *inner = op->name == narrow ? op->args[0].as<Call>() : nullptr;
            if (inner != nullptr && inner->name == widen) {
                return mutate(inner->args[0]);
            }
        }
        if (op->name == half_value_name) {
            return written(op->args[0], half_ ? half_value_by_machine : half_value_by_integers);
        }
        if (op->name == half_bits_name) {
            return written(op->args[0], half_ ? half_bits_by_machine : half_bits_by_integers);
        }
        if (op->name == bfloat_bits_name) {
            bool machine = bfloat_ && op->type.lanes() >= least_bfloat_lanes;
            return written(op->args[0], machine ? bfloat_bits_by_machine : bfloat_bits_by_integers);
        }
        return IRMutator::visit(op);
    }

    Expr visit(const Let *op) override {
        ScopedBinding<bool> bind(loaded_, op->name, is_loaded(op->value));
        return IRMutator::visit(op);
    }

    Stmt visit(const LetStmt *op) override {
        ScopedBinding<bool> bind(loaded_, op->name, is_loaded(op->value));
        return IRMutator::visit(op);
    }

    Expr written(const Expr &argument, Expr (*conversion)(const Expr &)) {
        return with_value(hide(mutate(argument)), conversion);
    }

    Expr hide(const Expr &x) const { return x86_ && x.type().is_float() ? hidden(x) : x; }

    /// Whether `x` is elements of memory, and nothing else is known of it.
    bool is_loaded(const Expr &x) const {
        if (const auto *name = x.as<Variable>()) {
            return loaded_.contains(name->name) && loaded_.get(name->name);
        }
        if (const auto *repeated = x.as<Broadcast>()) {
            return is_loaded(repeated->value);
        }
        if (const auto *shuffled = x.as<Shuffle>()) {
            return std::all_of(shuffled->vectors.begin(), shuffled->vectors.end(),
                               [this](const Expr &each) { return is_loaded(each); });
        }
        return x.as<Load>() != nullptr;
    }

    Scope<bool> loaded_;

    bool x86_ = false;
    bool half_ = false;
    bool bfloat_ = false;
};

}  // namespace

bool has_bfloat_instructions(const Target &target) {
    return target.arch == Target::X86 &&
           target.features_any_of(
               {Target::AVX512_Zen4, Target::AVX512_Zen5, Target::AVX512_SapphireRapids});
}

Expr half_value(const Expr &bits) {
    return call(Halide::Float(32), half_value_name, bits);
}

Expr half_bits(const Expr &value) {
    return call(UInt(16), half_bits_name, value);
}

Expr bfloat_value(const Expr &bits) {
    return call(Halide::Float(32), bfloat_value_name, bits);
}

Expr bfloat_bits(const Expr &value) {
    return call(UInt(16), bfloat_bits_name, value);
}

Expr bfloat_pair(const Expr &low, const Expr &high) {
    return Halide::cast<uint32_t>(low) | (Halide::cast<uint32_t>(high) << 16);
}

Expr bfloat_dot(const Expr &sum, const Expr &a, const Expr &b) {
    return Call::make(Halide::Float(32), bfloat_dot_name, {sum, a, b}, Call::PureExtern);
}

Expr opaque(const Expr &value) {
    return call(value.type(), opaque_name, value);
}

Expr opaque_term(const Expr &value) {
    return call(value.type(), opaque_term_name, value);
}

Stmt write_conversions(const Stmt &statement, const Target &target) {
    return WriteConversions(target).mutate(statement);
}

}  // namespace pto::wsp::lower
