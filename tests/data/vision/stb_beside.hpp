// A tiny file in a format that Anther does not decode but a whole stb_image does.
#pragma once

namespace stb_beside {

// TGA, 1 x 1, blue 10, green 20, red 30.
inline constexpr unsigned char tga[] = {0, 0, 2, 0, 0, 0,  0,    0,  0,  0, 0,
                                        0, 1, 0, 1, 0, 24, 0x20, 10, 20, 30};

}  // namespace stb_beside
