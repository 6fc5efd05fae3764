// Compiled twice, with different flags. UNIT: native or plain.
#include "mixed_flags.hpp"

#include <cstdint>

#include "anther/autograd/tape.hpp"  // which brings OpenMP's threads
#include "anther/core/parallel_for.hpp"
#include "anther/core/random.hpp"
#include "anther/core/tensor.hpp"
#include "anther/kernels/gelu.hpp"

#define JOIN(a, b) a##b
#define RESULTS_OF(unit) JOIN(results_of_, unit)

MixedResults RESULTS_OF(UNIT)() {
  MixedResults results{};
  const anther::RandomKey key = anther::RandomKey(7).fold("mixed");
  for (std::uint64_t i = 0; i < 100'000; ++i) results.random_sum += anther::normal(key, i);

  constexpr std::int64_t tiles = 1000;
  anther::Tensor<double> numbers(anther::Shape{tiles});
  anther::parallel_for(tiles, 1'000'000,
                       [&](std::int64_t tile) { numbers[tile] = static_cast<double>(tile + 1); });
  for (const double number : numbers) results.parallel_sum += number;

  constexpr std::int64_t count = 37;
  anther::Tensor<float> x(anther::Shape{count}), y(anther::Shape{count});
  for (float& value : x) value = 1;
  anther::kernels::gelu_forward(y.data(), x.data(), count);
  results.gelu_of_one = y[count - 1];

  results.backend = anther::parallel_backend_name();
  return results;
}
