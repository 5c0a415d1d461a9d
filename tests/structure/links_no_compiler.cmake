# Fails when BINARY needs a shared library of Halide or LLVM.
file(GET_RUNTIME_DEPENDENCIES
    EXECUTABLES ${BINARY}
    RESOLVED_DEPENDENCIES_VAR resolved
    UNRESOLVED_DEPENDENCIES_VAR unresolved)
set(compilers ${resolved} ${unresolved})
list(FILTER compilers INCLUDE REGEX "Halide|LLVM|clang")
if(compilers)
    message(FATAL_ERROR "${BINARY} needs ${compilers}")
endif()
