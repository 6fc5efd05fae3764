# How our own programs are compiled.

add_library(anther_warnings INTERFACE)
target_compile_options(anther_warnings INTERFACE -Wall -Wextra -Wpedantic -Wconversion -Wshadow)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # It takes "text" + string for an overlapping copy.
  target_compile_options(anther_warnings INTERFACE -Wno-restrict)
endif()
foreach(library IN ITEMS anther_compiled anther_compiled_all)
  target_compile_options(
    ${library} PRIVATE $<TARGET_PROPERTY:anther_warnings,INTERFACE_COMPILE_OPTIONS>)
endforeach()

# Our own programs have every decoder that there is.
set(anther_decoders "")
foreach(decoder IN ITEMS anther_jpeg anther_webp)
  if(TARGET ${decoder})
    list(APPEND anther_decoders ${decoder})
  endif()
endforeach()

# They link what is compiled once, and share a precompiled header. It holds what nearly all of them
# include: for a header that few need (anther/train/...) every other one would pay.
function(anther_precompiled_header name libraries)
  file(CONFIGURE OUTPUT "${PROJECT_BINARY_DIR}/empty.cpp" CONTENT "")
  add_library(${name} OBJECT EXCLUDE_FROM_ALL "${PROJECT_BINARY_DIR}/empty.cpp")
  target_link_libraries(${name} PUBLIC ${libraries} ${anther_decoders} PRIVATE anther_warnings)
  target_precompile_headers(${name} PRIVATE ${ARGN})
endfunction()
anther_precompiled_header(anther_programs anther_compiled_all <anther/anther.hpp> <nlohmann/json.hpp>)

# Kernels, engine and what reads files, loads images and reports come from anther::compiled_all, at -O2. What
# programs compile for themselves takes less time at -O1.
set(level_of_programs $<$<CONFIG:Release>:-O1>)
target_compile_options(anther_programs PRIVATE ${level_of_programs})

# All models of the tree in the registry, compiled once for the programs that link this.
# anther.hpp names what comes from anther::compiled.
file(CONFIGURE OUTPUT "${PROJECT_BINARY_DIR}/models.cpp"
     CONTENT "#include \"anther/anther.hpp\"\n#include \"anther/models/models.hpp\"\n")
add_library(anther_models OBJECT EXCLUDE_FROM_ALL "${PROJECT_BINARY_DIR}/models.cpp")
target_link_libraries(anther_models PRIVATE anther_compiled anther_io anther_data ${anther_decoders}
                                            anther_warnings) # as the tests, which have no more
target_compile_options(anther_models PRIVATE ${level_of_programs})
target_compile_definitions(anther_models INTERFACE ANTHER_MODELS_LINKED)

# anther_program(NAME SOURCE...)
function(anther_program name)
  add_executable(${name} ${ARGN})
  target_link_libraries(${name} PRIVATE anther_compiled_all ${anther_decoders} anther_warnings)
  target_compile_options(${name} PRIVATE ${level_of_programs})
  target_precompile_headers(${name} REUSE_FROM anther_programs)
endfunction()
