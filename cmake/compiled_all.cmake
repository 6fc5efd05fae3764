# anther::compiled_all: anther::compiled, and what is marked ANTHER_ONCE or ANTHER_ONCE_FOR in the rooms that need
# JSON or stb, compiled once.

# From the ground up, as in tests/package/walls.py. A unit is compiled for each of these.
set(units "io\;export" "data" "train" "models" "report\;painted")
set(below "#include \"anther/core/once.hpp\"\n")
set(sources "")
foreach(rooms IN LISTS units)
  set(headers "")
  foreach(room IN LISTS rooms)
    file(
      GLOB_RECURSE of_room
      RELATIVE "${PROJECT_SOURCE_DIR}/include"
      CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/include/anther/${room}/*.hpp")
    list(APPEND headers ${of_room})
  endforeach()
  # These are the program's choice, and need libraries of their own.
  list(REMOVE_ITEM headers anther/data/vision/libjpeg.hpp anther/data/vision/webp.hpp)
  # Nor is every model in every program.
  list(FILTER headers EXCLUDE REGEX "^anther/models/(.*/|models\\.hpp)")
  list(TRANSFORM headers REPLACE ".+" "#include \"\\0\"\n")
  list(JOIN headers "" headers)
  string(REPLACE ";" "_" name "${rooms}")
  set(source "${PROJECT_BINARY_DIR}/compiled_all/${name}.cpp")
  # `used`: for other units than this one.
  file(CONFIGURE OUTPUT "${source}" CONTENT
       "${below}\n#undef ANTHER_ONCE\n#define ANTHER_ONCE __attribute__((used)) inline\n#undef ANTHER_ONCE_FOR\n#define ANTHER_ONCE_FOR(...) template __VA_ARGS__;\n\n${headers}"
       @ONLY)
  list(APPEND sources "${source}")
  string(APPEND below "${headers}")
endforeach()

add_library(anther_compiled_all STATIC ${sources})
add_library(anther::compiled_all ALIAS anther_compiled_all)
# Where it is installed, anther-config.cmake links io and data.
target_link_libraries(
  anther_compiled_all PUBLIC anther_compiled $<BUILD_INTERFACE:anther_io> $<BUILD_INTERFACE:anther_data>)
target_compile_definitions(anther_compiled_all PUBLIC ANTHER_COMPILED_ALL)
set_target_properties(
  anther_compiled_all PROPERTIES OUTPUT_NAME anther_all EXPORT_NAME compiled_all CXX_EXTENSIONS OFF
                                 POSITION_INDEPENDENT_CODE ON
                                 EXCLUDE_FROM_ALL $<NOT:$<BOOL:${ANTHER_INSTALL}>>)
