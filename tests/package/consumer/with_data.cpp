// The headers of anther/data/ outside Anther's tree.
#include <anther/data/vision/decode.hpp>

int main() {
#ifdef ANTHER_LIBJPEG
  if (anther::vision::decoder_name() != "libjpeg-turbo") return 1;
#else
  if (anther::vision::decoder_name() != "stb (libjpeg's arithmetic)") return 1;
#endif
#ifdef ANTHER_LIBWEBP
  if (!anther::vision::image_decoders().webp.load()) return 1;
#endif
  return sizeof(anther::Error) > 0 ? 0 : 1;
}
