# Schemes of memory seen from outside: worst cases by search, drift.
set(scheme_sources ${CMAKE_SOURCE_DIR}/bench/bench_mem_schemes.c ${CMAKE_SOURCE_DIR}/bench/bench_step.c)

function(weir_mem_program name)
    add_executable(${name} ${ARGN})
    weir_target(${name})
    target_include_directories(${name} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/bench ${CMAKE_SOURCE_DIR}/include)
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
endfunction()

# The gate counts the code that users get.
weir_mem_program(worst_gate worst_gate.c worst_ops.c worst_toy.c ${scheme_sources})
target_link_libraries(worst_gate PRIVATE weir)
if(CMAKE_BUILD_TYPE STREQUAL "Release" AND NOT WEIR_SANITIZE AND WEIR_TESTS)
    add_test(NAME worst_gate COMMAND worst_gate ${CMAKE_CURRENT_SOURCE_DIR}/worst_finds.txt)
    set_tests_properties(worst_gate PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 120)
endif()

# The search runs a copy of the schemes that tells each basic block it enters. Its test: the toy's slow case is found.
get_target_property(traced_sources weir SOURCES)
list(FILTER traced_sources INCLUDE REGEX "/src/(base|plat|mem|vmem)/")
add_library(weir_traced STATIC EXCLUDE_FROM_ALL ${traced_sources} ${scheme_sources} worst_ops.c worst_toy.c)
weir_target(weir_traced)
target_compile_options(weir_traced PRIVATE -O2 -fsanitize-coverage=trace-pc)
target_include_directories(weir_traced PRIVATE ${CMAKE_CURRENT_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/bench ${CMAKE_SOURCE_DIR}/include
                                               ${CMAKE_SOURCE_DIR}/src)
weir_mem_program(worst_search worst_search.c)
target_link_libraries(worst_search PRIVATE weir_traced)
if(WEIR_SANITIZE)
    set_target_properties(worst_search PROPERTIES EXCLUDE_FROM_ALL ON)
elseif(WEIR_TESTS)
    add_test(NAME worst_search_test COMMAND worst_search --evaluations 20000 --keep 1 --least 100 toy)
endif()

# A new search of every scheme, merged into the finds; takes minutes.
set(finds ${CMAKE_CURRENT_SOURCE_DIR}/worst_finds.txt)
add_custom_target(worst-finds VERBATIM
    COMMAND sh -c "$<TARGET_FILE:worst_search> | $<TARGET_FILE:worst_gate> --merge ${finds} >worst_finds.new && mv worst_finds.new ${finds}")
add_dependencies(worst-finds worst_search worst_gate)

weir_test(worst_ops_test worst_ops_test.c worst_ops.c worst_toy.c ${scheme_sources})
target_include_directories(worst_ops_test PRIVATE ${CMAKE_CURRENT_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/bench)

# Drift: 10^8 operations where the code is fast, 10^7 for a scheme of linear time; ten times as many by `./test long`. The
# other presets see that it runs. The canary leaks.
weir_mem_program(drift drift.c ${scheme_sources})
target_link_libraries(drift PRIVATE weir)
set(drift_schemes pool:100000000 pool-grow:100000000 small:100000000 tlsf:100000000 part-tlsf:100000000 part-firstfit:10000000 firstfit:10000000)
foreach(pair ${drift_schemes})
    string(REPLACE ":" ";" pair ${pair})
    list(GET pair 0 scheme)
    list(GET pair 1 operations)
    if(NOT CMAKE_BUILD_TYPE STREQUAL "Release" OR WEIR_SANITIZE)
        set(operations 1000000)
    endif()
    if(WEIR_TESTS)
        add_test(NAME drift_${scheme} COMMAND drift ${scheme} ${operations})
        set_tests_properties(drift_${scheme} PROPERTIES TIMEOUT 3000)
    endif()
endforeach()
if(WEIR_TESTS)
    add_test(NAME drift_canary COMMAND drift firstfit 1000000 leaky)
endif()
