// What a generated header of a classifier of images has beside model.inl.
#include <cstdint>

#include "anther/export/generated/model.inl"

namespace anther::inline v0_1::exports {

// What the model is given for each level of each colour.
template <class Pass>
struct GeneratedLevels {
  float levels[3][256];  // (level / 255 - mean) / deviation

  GeneratedLevels() {
    for (int c = 0; c < 3; ++c)
      for (int level = 0; level < 256; ++level)
        levels[c][level] =
            (static_cast<float>(level) / 255.0f - Pass::mean[c]) / Pass::deviation[c];
  }

  static const GeneratedLevels& ready() {
    static const GeneratedLevels levels;
    return levels;
  }
};

template <class Pass>
class GeneratedImageClassifier : public GeneratedModel<Pass> {
 public:
  // The number of the class with the largest logit. pixels: the image's bytes, height x width x 3.
  int classify(const unsigned char* pixels) {
    const float* const y = logits(pixels);
    int best = 0;
    for (int i = 1; i < Pass::classes; ++i)
      if (y[i] > y[best]) best = i;
    return best;
  }

  // The logits of the classes, which last until the next call. Those of an image that is prepared
  // already, as floats, are given by run().
  const float* logits(const unsigned char* pixels) {
    const auto& levels = GeneratedLevels<Pass>::ready().levels;
    float* const image = this->input();
    for (std::int64_t i = 0; i < Pass::input_size; i += 3)
      for (int c = 0; c < 3; ++c) image[i + c] = levels[c][pixels[i + c]];
    return this->run_pass();
  }
};

}  // namespace anther::inline v0_1::exports
