# Writes the C++ file that holds the text of the headers that generated headers are made of:
#
#   cmake -D INCLUDE=<.../include> -D OUT=<file.cpp> -P kernel_sources.cmake

file(
  GLOB paths
  RELATIVE "${INCLUDE}"
  "${INCLUDE}/anther/core/*.hpp" "${INCLUDE}/anther/kernels/*" "${INCLUDE}/anther/io/*.hpp"
  "${INCLUDE}/anther/export/generated/*")
set(code "#include \"kernel_sources.hpp\"\n\nnamespace {\nconst KernelSource sources[] = {\n")
foreach(path IN LISTS paths)
  file(READ "${INCLUDE}/${path}" text)
  string(APPEND code "{\"${path}\", R\"====(${text})====\"},\n")
endforeach()
string(APPEND code "};\n}  // namespace\n\nconst std::span<const KernelSource> kernel_sources(sources);\n")
file(WRITE "${OUT}" "${code}")
