// Everything first, then the user's stb_image, without its implementation.
// clang-format off
#include "everything.hpp"
#include <stb_image.h>
// clang-format on

#include <cstdio>
#include <cstring>

#include "two_units.hpp"

int main() {
  int width = 0, height = 0, channels = 0;
  stbi_uc* pixels = stbi_load_from_memory(portable_pixmap, sizeof portable_pixmap - 1, &width,
                                          &height, &channels, 3);
  const bool first_reads = pixels && width == 2 && height == 1 && pixels[5] == 6;
  stbi_image_free(pixels);
  if (!first_reads || !second_reads_with_own_stb()) {
    std::puts("a user's own stb_image does not work beside Anther's");
    return 1;
  }
  if (std::strcmp(anther::parallel_backend_name(), backend_seen_by_second()) != 0) {
    std::puts("two translation units see different backends");
    return 1;
  }
  return 0;
}
