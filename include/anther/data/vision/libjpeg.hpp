// JPEG through libjpeg-turbo: the pixels that Pillow, torchvision and browsers have. To have it,
// link anther::jpeg; or include this header in any source of the program and link with -ljpeg.
// Without it stb_jpeg.hpp decodes: the same pixels, in up to twice the time.
#pragma once

#include <setjmp.h>
#include <stddef.h>
#include <stdio.h>

#include <jpeglib.h>
#ifndef LIBJPEG_TURBO_VERSION
#error "anther: libjpeg-turbo is needed; other versions of libjpeg have other pixels"
#endif

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "anther/core/check.hpp"
#include "anther/data/vision/bytes.hpp"
#include "anther/data/vision/image.hpp"
#include "anther/data/vision/image_decoders.hpp"
#include "anther/data/vision/jpeg_cmyk.hpp"

namespace anther::inline v0_1::vision {

// libjpeg leaves by a jump where it fails: between setjmp and there no object may have a
// destructor.
class LibjpegReader {
 public:
  explicit LibjpegReader(ByteSpan file) : file_(file) {
    info_.err = jpeg_std_error(&errors_.base);
    errors_.base.error_exit = [](j_common_ptr info) {
      auto* errors = reinterpret_cast<Errors*>(info->err);
      errors->base.format_message(info, errors->text);
      longjmp(errors->back, 1);
    };
    errors_.base.emit_message = [](j_common_ptr, int) {};  // of damage that it can live with
  }
  LibjpegReader(const LibjpegReader&) = delete;
  LibjpegReader& operator=(const LibjpegReader&) = delete;
  ~LibjpegReader() { jpeg_destroy_decompress(&info_); }

  // False where it fails; reason() says why.
  bool start() {
    if (setjmp(errors_.back)) return false;
    jpeg_create_decompress(&info_);
    jpeg_mem_src(&info_, file_.data(), static_cast<unsigned long>(file_.size()));
    jpeg_read_header(&info_, TRUE);
    info_.out_color_space = info_.num_components == 4 ? JCS_CMYK : JCS_RGB;
    info_.dct_method = JDCT_ISLOW;
    info_.do_fancy_upsampling = TRUE;
    jpeg_start_decompress(&info_);
    return true;
  }
  // A row of 3 or 4 channels.
  bool read_row(std::uint8_t* row) {
    if (setjmp(errors_.back)) return false;
    jpeg_read_scanlines(&info_, &row, 1);
    return true;
  }
  int width() const { return static_cast<int>(info_.output_width); }
  int height() const { return static_cast<int>(info_.output_height); }
  bool is_cmyk() const { return info_.out_color_space == JCS_CMYK; }
  const char* reason() const { return errors_.text; }

 private:
  struct Errors {
    jpeg_error_mgr base;
    jmp_buf back;
    char text[JMSG_LENGTH_MAX];
  };

  ByteSpan file_;
  jpeg_decompress_struct info_{};
  Errors errors_{};
};

// Decodes a JPEG file. Throws with the name and libjpeg's reason. Thread-safe.
inline Image libjpeg_decode(ByteSpan file, std::string_view name) {
  LibjpegReader reader(file);
  detail::check(reader.start(), name, ": cannot be decoded (", reader.reason(), ")");
  Image image(reader.width(), reader.height());
  Bytes cmyk(reader.is_cmyk() ? 4 * static_cast<std::size_t>(image.width) : 0);
  for (int y = 0; y < image.height; ++y) {
    std::uint8_t* row = cmyk.empty() ? image.row(y) : cmyk.data();
    detail::check(reader.read_row(row), name, ": cannot be decoded (", reader.reason(), ")");
    if (!cmyk.empty()) rgb_from_inverted_cmyk(row, image.row(y), image.width);
  }
  return image;
}

inline const bool libjpeg_decodes = (image_decoders().jpeg = &libjpeg_decode, true);

}  // namespace anther::inline v0_1::vision
