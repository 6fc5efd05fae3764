# Installing, so that find_package(anther) works.

include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

if(ANTHER_FETCHED_HEADERS)
  # Only an error once somebody installs: building with a fetched dependency is fine.
  list(JOIN ANTHER_FETCHED_HEADERS ", " fetched)
  install(
    CODE "message(FATAL_ERROR
      \"Anther is not installed: this build fetched ${fetched}, which an installed Anther would not \"
      \"find. Install the missing packages, configure again and repeat, or use Anther with \"
      \"add_subdirectory or FetchContent.\")")
  return()
endif()

set(package_dir "${CMAKE_INSTALL_DATADIR}/cmake/anther")

install(TARGETS anther EXPORT anther-targets INCLUDES DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
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

configure_package_config_file(
  "${CMAKE_CURRENT_LIST_DIR}/anther-config.cmake.in" "${PROJECT_BINARY_DIR}/anther-config.cmake"
  INSTALL_DESTINATION "${package_dir}" NO_SET_AND_CHECK_MACRO)
# Before version 1.0 a minor version may change the interface.
write_basic_package_version_file("${PROJECT_BINARY_DIR}/anther-config-version.cmake"
                                 COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(
  FILES "${PROJECT_BINARY_DIR}/anther-config.cmake"
        "${PROJECT_BINARY_DIR}/anther-config-version.cmake"
  DESTINATION "${package_dir}")
