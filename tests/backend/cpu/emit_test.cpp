#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backend/cpu/pipelines.h"
#include "pto/wsp/support/error.h"

namespace pto::wsp::backend::cpu {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

int open_files() {
    const std::filesystem::directory_iterator files("/proc/self/fd");
    return static_cast<int>(std::distance(begin(files), end(files)));
}

/// A module that Halide accepts and cannot generate code for.
lower::Module impossible_module() {
    using namespace Halide;
    const Internal::Stmt body = Internal::Evaluate::make(
        Internal::Call::make(Int(32), "no_such_intrinsic", {}, Internal::Call::PureIntrinsic));
    Module module("impossible", bare(get_host_target()));
    module.append(Internal::LoweredFunc("impossible", std::vector<Internal::LoweredArgument>{},
                                        body, LinkageType::External));
    return as_module(module);
}

TEST(EmitObject, GivesARelocatableElfFile) {
    const std::string bytes = emit_object(scale_pipeline(2));
    EXPECT_EQ(bytes.substr(0, 4), "\177ELF");
}

TEST(EmitObject, LeavesNoFileOpen) {
    emit_object(scale_pipeline(2));
    const int before = open_files();
    emit_object(scale_pipeline(3));
    EXPECT_THROW(emit_object(impossible_module()), InternalError);
    EXPECT_EQ(open_files(), before);
}

TEST(EmitObject, NamesThePassAndTheModuleThatHalideRefuses) {
    try {
        emit_object(impossible_module());
        FAIL() << "expected an InternalError";
    } catch (const InternalError &error) {
        EXPECT_THAT(error.what(),
                    AllOf(HasSubstr("emit-object"), HasSubstr("Halide refused module impossible: "),
                          HasSubstr("no_such_intrinsic")));
    }
    EXPECT_FLOAT_EQ(run_scale(*load_object(emit_object(scale_pipeline(4)), "scale")), 32.0f);
}

}  // namespace
}  // namespace pto::wsp::backend::cpu
