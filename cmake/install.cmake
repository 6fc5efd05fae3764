# Installing, so that find_package(anther) and pkg-config work.

include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/anther")

install(TARGETS anther EXPORT anther-targets INCLUDES DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(
  TARGETS anther_compiled
  EXPORT anther-targets
  ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
if(TARGET anther_compiled_all) # apart, as it is read where anther::io and anther::data are found
  install(
    TARGETS anther_compiled_all
    EXPORT anther-all-targets
    ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
  install(
    EXPORT anther-all-targets
    NAMESPACE anther::
    DESTINATION "${package_dir}")
endif()
install(
  DIRECTORY "${PROJECT_SOURCE_DIR}/include/anther"
  DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
  FILES_MATCHING
  PATTERN "*.hpp"
  PATTERN "*.inl")
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION "${CMAKE_INSTALL_DOCDIR}")
install(
  EXPORT anther-targets
  NAMESPACE anther::
  DESTINATION "${package_dir}")

if(OpenMP_CXX_FOUND)
  set(ANTHER_HAS_OPENMP ON)
  set(ANTHER_OPENMP_FLAGS " ${OpenMP_CXX_FLAGS}")
else()
  set(ANTHER_HAS_OPENMP OFF)
  set(ANTHER_OPENMP_FLAGS "")
endif()
configure_package_config_file(
  "${CMAKE_CURRENT_LIST_DIR}/anther-config.cmake.in" "${PROJECT_BINARY_DIR}/anther-config.cmake"
  INSTALL_DESTINATION "${package_dir}" NO_SET_AND_CHECK_MACRO)
# Before version 1.0 a minor version may change the interface.
write_basic_package_version_file("${PROJECT_BINARY_DIR}/anther-config-version.cmake"
                                 COMPATIBILITY SameMinorVersion)
install(
  FILES "${PROJECT_BINARY_DIR}/anther-config.cmake"
        "${PROJECT_BINARY_DIR}/anther-config-version.cmake"
  DESTINATION "${package_dir}")

# The prefix is found from the .pc file's own place, so that an installed tree can be moved; but not
# from a place that is none of the prefix.
set(pkg_config_dir "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
  set(ANTHER_PC_PREFIX "${CMAKE_INSTALL_PREFIX}")
else()
  cmake_path(RELATIVE_PATH CMAKE_INSTALL_PREFIX BASE_DIRECTORY
             "${CMAKE_INSTALL_PREFIX}/${pkg_config_dir}" OUTPUT_VARIABLE prefix_from_pc)
  set(ANTHER_PC_PREFIX "\${pcfiledir}/${prefix_from_pc}")
endif()
foreach(dir LIBDIR INCLUDEDIR)
  set(ANTHER_PC_${dir} "${CMAKE_INSTALL_${dir}}")
  if(NOT IS_ABSOLUTE "${CMAKE_INSTALL_${dir}}")
    string(PREPEND ANTHER_PC_${dir} "\${prefix}/")
  endif()
endforeach()
foreach(name anther anther-compiled)
  configure_file("${CMAKE_CURRENT_LIST_DIR}/${name}.pc.in" "${PROJECT_BINARY_DIR}/${name}.pc" @ONLY)
  install(FILES "${PROJECT_BINARY_DIR}/${name}.pc" DESTINATION "${pkg_config_dir}")
endforeach()
