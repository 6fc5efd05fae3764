// What a generated header (io/embed.hpp) runs its pass with. Pass is what the generator writes: the
// sizes, the weights, and `run`.
#include <bit>
#include <cstdint>

#include "anther/io/base85.hpp"
#include "anther/io/float16.hpp"
#include "anther/kernels/packed_weight.hpp"

namespace anther::inline v0_1::exports {

// `count` numbers from number `first` on. They go to place `at` as they are, or packed for a matrix
// product where that has columns.
struct EmbeddedWeight {
  std::int64_t first, count, at;
  kernels::PackOptions pack;
};

// Number i of Pass::text, which is cut into parts of `part_words` words of 32 bits: one float each,
// or two half floats, the first in the low bits.
template <class Pass>
float embedded_number(std::int64_t i) {
  const std::int64_t word = Pass::half ? i / 2 : i;
  const std::uint32_t bits =
      io::from_base85(Pass::text[word / Pass::part_words] + word % Pass::part_words * 5);
  if constexpr (Pass::half)
    return io::to_float(io::Float16{static_cast<std::uint16_t>(i % 2 == 0 ? bits : bits >> 16)});
  else
    return std::bit_cast<float>(bits);
}

// Everything that passes only read.
template <class Pass>
struct EmbeddedWeights {
  alignas(64) float plain[Pass::plain_size];
  alignas(64) float packed[Pass::packed_size];
  alignas(64) float scratch[Pass::scratch_size];  // the largest weight that is packed
  float levels[3][256];                           // (level / 255 - mean) / std

  EmbeddedWeights() {
    for (const EmbeddedWeight& weight : Pass::weights) {
      const bool packs = weight.pack.columns > 0;
      float* to = packs ? scratch : plain + weight.at;
      for (std::int64_t i = 0; i < weight.count; ++i)
        to[i] = embedded_number<Pass>(weight.first + i);
      if (packs) kernels::pack_weight<float>(packed + weight.at, to, weight.pack);
    }
    for (int c = 0; c < 3; ++c)
      for (int level = 0; level < 256; ++level)
        levels[c][level] =
            (static_cast<float>(level) / 255.0f - Pass::mean[c]) / Pass::deviation[c];
  }

  // Made by the first to ask, whichever thread that is.
  static const EmbeddedWeights& ready() {
    static const EmbeddedWeights weights;
    return weights;
  }
};

// The memory of one pass at a time.
template <class Pass>
class EmbeddedModel {
 public:
  // The number of the class with the largest logit. rgb: the image's bytes, height x width x 3.
  int classify(const unsigned char* rgb) {
    const float* const y = logits(rgb);
    int best = 0;
    for (int i = 1; i < Pass::classes; ++i)
      if (y[i] > y[best]) best = i;
    return best;
  }

  // The logits of the classes, which last until the next call.
  const float* logits(const unsigned char* rgb) {
    const auto& levels = EmbeddedWeights<Pass>::ready().levels;
    for (std::int64_t i = 0; i < size; i += 3)
      for (int c = 0; c < 3; ++c) memory_[Pass::input + i + c] = levels[c][rgb[i + c]];
    return run();
  }
  // The same of an image that is prepared: (level / 255 - mean) / std.
  const float* logits(const float* image) {
    for (std::int64_t i = 0; i < size; ++i) memory_[Pass::input + i] = image[i];
    return run();
  }

 private:
  static constexpr std::int64_t size = std::int64_t{3} * Pass::height * Pass::width;

  const float* run() {
    const EmbeddedWeights<Pass>& weights = EmbeddedWeights<Pass>::ready();
    Pass::run(memory_, workspace_, weights.plain, weights.packed);
    return memory_ + Pass::output;
  }

  alignas(64) float memory_[Pass::memory_size];
  alignas(64) float workspace_[Pass::workspace_size];
};

}  // namespace anther::inline v0_1::exports
