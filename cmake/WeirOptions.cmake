# Compiler settings shared by every target, and helpers to declare tests.
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
if(CMAKE_BUILD_TYPE STREQUAL "")
    set(CMAKE_BUILD_TYPE Release)
endif()

set(WEIR_SANITIZE "" CACHE STRING "Sanitizers for every target, as -fsanitize takes them")
option(WEIR_WERROR "Warnings are errors" ON)

function(weir_target name)
    target_compile_definitions(${name} PRIVATE _GNU_SOURCE)
    target_compile_options(${name} PRIVATE $<$<COMPILE_LANGUAGE:C>:-Wall -Wextra -Wconversion -Wshadow -Wvla
        -Wstrict-prototypes -Wmissing-prototypes>)
    if(WEIR_WERROR)
        target_compile_options(${name} PRIVATE -Werror)
    endif()
    if(CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64" AND NOT CMAKE_C_FLAGS MATCHES "-m(32|arch)")
        target_compile_options(${name} PRIVATE -march=x86-64-v2)
    endif()
    if(WEIR_SANITIZE)
        target_compile_options(${name} PRIVATE -fsanitize=${WEIR_SANITIZE} -fno-sanitize-recover=all
            -fno-omit-frame-pointer -g)
        target_link_options(${name} PRIVATE -fsanitize=${WEIR_SANITIZE})
    endif()
endfunction()

find_package(PkgConfig QUIET)
if(PkgConfig_FOUND)
    pkg_check_modules(CMOCKA IMPORTED_TARGET cmocka)
endif()

# weir_test(NAME sources...): a cmocka program that sees the rooms' headers. LABELS and further libraries by
# set_tests_properties and target_link_libraries. Reads its printed seed from WEIR_SEED where it has one.
function(weir_test name)
    if(NOT CMOCKA_FOUND)
        message(FATAL_ERROR "cmocka is missing: apt-get install libcmocka-dev")
    endif()
    add_executable(${name} ${ARGN})
    weir_target(${name})
    target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR}/tests)
    target_link_libraries(${name} PRIVATE weir PkgConfig::CMOCKA)
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
    add_test(NAME ${name} COMMAND ${name})
    set_tests_properties(${name} PROPERTIES TIMEOUT 120)
endfunction()
