// What a generated header (export/cpp_header.hpp) runs its pass with. Pass is what the generator
// writes: the sizes, the weights, and `run`.
#include <bit>
#include <cstdint>
#include <type_traits>

#include "anther/io/base85.hpp"
#include "anther/io/float16.hpp"
#include "anther/kernels/packed_weight.hpp"

namespace anther::inline v0_1::exports {

// `count` numbers from word `first` on. They go to place `at` as they are, or packed for a matrix
// product where that has columns.
struct GeneratedWeight {
  std::int64_t first, count, at;
  kernels::PackOptions pack;
};

// Number i of a weight. Pass::text is cut into parts of `part_words` words of 32 bits: one float
// each, or two numbers of 16 bits, the first in the low bits: half floats where Pass says so, and
// bfloat16 where a product reads them in bfloat16.
template <class Pass>
float generated_number(const GeneratedWeight& weight, std::int64_t i) {
  const bool pairs = Pass::half || weight.pack.bf16 != 0;
  const std::int64_t word = weight.first + (pairs ? i / 2 : i);
  std::uint32_t bits =
      io::from_base85(Pass::text[word / Pass::part_words] + word % Pass::part_words * 5);
  if (pairs) bits = i % 2 == 0 ? bits & 0xffffu : bits >> 16;
  if constexpr (Pass::half) return io::to_float(io::Float16{static_cast<std::uint16_t>(bits)});
  return std::bit_cast<float>(pairs ? bits << 16 : bits);
}

// The weights, which passes only read.
template <class Pass>
struct GeneratedWeights {
  alignas(64) float plain[Pass::plain_size];
  alignas(64) float packed[Pass::packed_size];
  alignas(64) float scratch[Pass::scratch_size];  // the largest weight that is packed

  GeneratedWeights() {
    Pass::begin();
    for (const GeneratedWeight& weight : Pass::weights) {
      const bool packs = weight.pack.columns > 0;
      float* to = packs ? scratch : plain + weight.at;
      for (std::int64_t i = 0; i < weight.count; ++i) to[i] = generated_number<Pass>(weight, i);
      if (packs) kernels::pack_weight<float>(packed + weight.at, to, weight.pack);
    }
  }

  // Made by the first to ask, whichever thread that is.
  static const GeneratedWeights& ready() {
    static const GeneratedWeights weights;
    return weights;
  }
};

// The memory of one pass at a time.
template <class Pass>
class GeneratedModel {
 public:
  using Input = typename Pass::Input;  // float or std::int32_t
  using Output = typename Pass::Output;

  // Gives output_size numbers, which last until the next call, for input_size numbers.
  const Output* run(const Input* numbers) {
    for (std::int64_t i = 0; i < Pass::input_size; ++i) input()[i] = numbers[i];
    return run_pass();
  }

 protected:
  // Where the input is to be put before run_pass.
  Input* input() { return memory_of<Input>() + Pass::input; }

  const Output* run_pass() {
    const GeneratedWeights<Pass>& weights = GeneratedWeights<Pass>::ready();
    Pass::run(memory_, integers_, workspace_, weights.plain, weights.packed);
    Pass::end();
    return memory_of<Output>() + Pass::output;
  }

 private:
  template <class Element>
  Element* memory_of() {
    if constexpr (std::is_same_v<Element, float>)
      return memory_;
    else
      return integers_;
  }

  alignas(64) float memory_[Pass::memory_size];
  alignas(64) std::int32_t integers_[Pass::integers_size];
  alignas(64) float workspace_[Pass::workspace_size];
};

}  // namespace anther::inline v0_1::exports
