# The text of `engine_build()`, made anew whenever a source changes: one small file depends on it.

# As a script (`cmake -P`, with ROOT, TEMPLATE, OUTPUT and the texts): writes OUTPUT from TEMPLATE
# with a hash over the names and contents of all sources.
if(CMAKE_SCRIPT_MODE_FILE)
    file(GLOB_RECURSE sources RELATIVE ${ROOT} ${ROOT}/src/*.h ${ROOT}/src/*.cpp ${ROOT}/include/*.h)
    list(SORT sources)
    set(digests "")
    foreach(source ${sources})
        file(SHA256 ${ROOT}/${source} digest)
        string(APPEND digests "${source} ${digest}\n")
    endforeach()
    string(SHA256 SOURCES_HASH "${digests}")
    string(SUBSTRING ${SOURCES_HASH} 0 32 SOURCES_HASH)
    configure_file(${TEMPLATE} ${OUTPUT} @ONLY)
    return()
endif()

function(pto_wsp_engine_build target)
    file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/*.h
        ${CMAKE_SOURCE_DIR}/src/*.cpp ${CMAKE_SOURCE_DIR}/include/*.h)
    # In the command line, so that a removed file is noticed too.
    string(MD5 names "${sources}")
    set(script ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/engine_build.cmake)
    set(template ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/engine_build.cpp.in)
    set(output ${CMAKE_BINARY_DIR}/engine_build.cpp)
    add_custom_command(OUTPUT ${output}
        COMMAND ${CMAKE_COMMAND} -DROOT=${CMAKE_SOURCE_DIR} -DTEMPLATE=${template}
            -DOUTPUT=${output} -DVERSION=${PROJECT_VERSION} -DHALIDE_VERSION=${Halide_VERSION}
            -DNAMES=${names} -P ${script}
        COMMAND ${CMAKE_COMMAND} -E touch ${output}
        DEPENDS ${sources} ${script} ${template} VERBATIM
        COMMENT "Hashing the engine's sources")
    target_sources(${target} PRIVATE ${output})
    set_source_files_properties(${output} PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
endfunction()
