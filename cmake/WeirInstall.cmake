# What `install` gives: headers, static and shared library, pkg-config file, CMake package.
#
# Core and drivers are separate targets of the build and one library of the installation: weir_static and weir_shared are
# made of the objects of both. The shared one exports the functions of the public headers and nothing else.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

get_property(weir_driver_targets DIRECTORY ${CMAKE_SOURCE_DIR}/drivers PROPERTY BUILDSYSTEM_TARGETS)
set(weir_objects $<TARGET_OBJECTS:weir>)
foreach(target ${weir_driver_targets})
    get_target_property(type ${target} TYPE)
    if(type MATCHES "^(STATIC|OBJECT)_LIBRARY$")
        list(APPEND weir_objects $<TARGET_OBJECTS:${target}>)
    endif()
endforeach()

# The names to export: prototypes and constants of the public headers, which clang-format keeps in column 0. check_exports.py holds
# the result against what the compiler says of the headers.
file(GLOB weir_headers CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/include/weir/*.h)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${weir_headers})
set(weir_exports "")
foreach(header ${weir_headers})
    file(READ ${header} text)
    string(REPLACE ";" " " text "${text}")
    string(REGEX MATCHALL "\n[a-z][A-Za-z0-9_ *]*weir_[a-z0-9_]+\\(" prototypes "${text}")
    foreach(prototype ${prototypes})
        string(REGEX MATCH "weir_[a-z0-9_]+\\($" name "${prototype}")
        string(REPLACE "(" ";" name "${name}")
        string(APPEND weir_exports "        ${name}\n")
    endforeach()
    string(REGEX MATCHALL "\nextern const [a-z_ ]+weir_[a-z0-9_]+ " constants "${text}") # a blank where `;` was
    foreach(constant ${constants})
        string(REGEX MATCH "weir_[a-z0-9_]+ $" name "${constant}")
        string(STRIP "${name}" name)
        string(APPEND weir_exports "        ${name};\n")
    endforeach()
endforeach()
set(weir_map ${CMAKE_BINARY_DIR}/weir.map)
file(GENERATE OUTPUT ${weir_map} CONTENT "{\n    global:\n${weir_exports}    local:\n        *;\n};\n")

add_library(weir_static STATIC ${weir_objects})
set_target_properties(weir_static PROPERTIES OUTPUT_NAME weir EXPORT_NAME static LINKER_LANGUAGE C
    ARCHIVE_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib/install)
add_library(weir_shared SHARED ${weir_objects})
set_target_properties(weir_shared PROPERTIES OUTPUT_NAME weir EXPORT_NAME shared LINKER_LANGUAGE C
    VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR} LINK_DEPENDS ${weir_map})
target_link_options(weir_shared PRIVATE -Wl,--version-script=${weir_map})
foreach(target weir_static weir_shared)
    target_include_directories(${target} INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
endforeach()

set(weir_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/weir)
install(TARGETS weir_static weir_shared EXPORT weir-targets
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${CMAKE_SOURCE_DIR}/include/weir DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN *.h)
install(EXPORT weir-targets NAMESPACE weir:: FILE weir-targets.cmake DESTINATION ${weir_package_dir})
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/weir-config.cmake.in ${CMAKE_BINARY_DIR}/weir-config.cmake
    INSTALL_DESTINATION ${weir_package_dir})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/weir-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/weir-config.cmake ${CMAKE_BINARY_DIR}/weir-config-version.cmake
    DESTINATION ${weir_package_dir})

# The pkg-config file finds its prefix from where it lies, so that an installation can be moved.
file(RELATIVE_PATH weir_prefix_from_pc /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(${CMAKE_CURRENT_LIST_DIR}/weir.pc.in ${CMAKE_BINARY_DIR}/weir.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/weir.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(FILES ${CMAKE_SOURCE_DIR}/LICENSE ${CMAKE_SOURCE_DIR}/NOTICE DESTINATION ${CMAKE_INSTALL_DOCDIR})
