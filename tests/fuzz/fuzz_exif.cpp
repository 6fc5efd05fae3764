// Blocks of EXIF and XMP.
#include "anther/data/vision/exif.hpp"

#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  anther::vision::Orientation orientation;
  orientation.add_exif({data, size});
  orientation.add_xmp({data, size});
  if (orientation.value() < 1 || orientation.value() > 8) std::abort();
  return 0;
}
