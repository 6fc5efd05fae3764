#pragma once

// An image file of two pixels that stb_image reads, but Anther's own stb does not: whoever reads it
// has called the user's.
inline constexpr unsigned char portable_pixmap[] = "P6\n2 1\n255\n\x01\x02\x03\x04\x05\x06";

// What the second translation unit sees and does.
const char* backend_seen_by_second();
bool second_reads_with_own_stb();
