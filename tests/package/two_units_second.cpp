// The user's stb_image with its implementation, then everything.
// clang-format off
#define STB_IMAGE_IMPLEMENTATION
#include <stb_image.h>
#include "everything.hpp"
#include "two_units.hpp"
// clang-format on

const char* backend_seen_by_second() {
  return anther::parallel_backend_name();
}

bool second_reads_with_own_stb() {
  int width = 0, height = 0, channels = 0;
  return stbi_info_from_memory(portable_pixmap, sizeof portable_pixmap - 1, &width, &height,
                               &channels) == 1 &&
         width == 2 && height == 1 && channels == 3;
}
