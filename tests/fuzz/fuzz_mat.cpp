// MATLAB 5 files.
#include "anther/data/vision/mat.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    anther::vision::read_mat(anther::vision::ByteSpan(data, size), "labels", "file.mat");
  } catch (const anther::Error&) {
  }
  return 0;
}
