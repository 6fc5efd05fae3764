// What a trainer is told, and what it uses to follow it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <span>
#include <string>

#include "anther/autograd/profile.hpp"
#include "anther/autograd/tape.hpp"
#include "anther/core/once.hpp"
#include "anther/distributed/process_group.hpp"
#include "anther/kernels/optimizer.hpp"
#include "anther/train/objective.hpp"

namespace anther::inline v0_1 {

struct TrainerOptions {
  // Samples. 0: automatic_micro_batch of the inputs, or the whole batch if samples are coupled.
  std::int64_t micro_batch = 0;
  // For models with BatchNorm. 0: statistics of the whole batch, as PyTorch has them. Otherwise the
  // batch is cut into equal groups of so many samples at most, each of which is a micro-batch with
  // statistics of its own ("ghost batches": Hoffer et al. 2017, arXiv 1705.08741), so that memory
  // does not grow with the batch. Running statistics move by the mean over the groups, once a step.
  std::int64_t batch_norm_group = 0;
  std::int64_t lanes = 1;  // micro-batches under way at once, at most
  // Backward computes each stage of the model again, instead of keeping it: TapeOptions::recompute.
  bool recompute = false;
  // Mixed precision: products in bfloat16, all else in float. TapeOptions::amp.
  Amp amp = {};
  std::uint64_t seed = 0;
  Profile* profile = nullptr;  // gains the time of every op, where not null
  // The ranks that share each step; null: one process. Bits do not depend on it.
  ProcessGroup* group = nullptr;
};

// A micro-batch of a batch.
struct MicroBatch {
  std::int64_t number = 0;
  SampleRange samples;
};

// How many samples of so many numbers are best run at once: about two times 224 x 224 x 3 numbers,
// so that activations stay in the cache and weights are read for more rows than one sample has (2
// images at 224 px, 6 at 128, 11 at 96), and at most 24; more if samples are smaller than 32 x 32 x
// 3. It depends on the size alone, since the bits depend on it.
ANTHER_ONCE std::int64_t automatic_micro_batch(std::int64_t numbers) {
  const std::int64_t size = std::max<std::int64_t>(1, numbers);
  const std::int64_t most = std::max<std::int64_t>(24, 24 * 32 * 32 * 3 / size);
  return std::clamp<std::int64_t>((2 * 224 * 224 * 3 + size / 2) / size, 1,
                                  std::min<std::int64_t>(most, 4096));
}

// The first layer of a pass, in the order of computation, whose output has a value that is infinite
// or NaN; or the parameter, or the inputs, that it comes from.
template <class T>
std::string first_not_finite(const Tape<T>& tape) {
  const auto finite = [&](int id) {
    const std::span<const std::uint16_t> map = tape.bf16_elements_of(id);
    const std::span<const T> values = tape.elements_of(id);
    return kernels::all_finite(values.data(), std::ssize(values)) &&
           std::none_of(map.begin(), map.end(), [](std::uint16_t bits) {
             return (bits & 0x7f80) == 0x7f80;  // the exponent of infinity and of NaN
           });
  };
  for (const auto& entry : tape.entries()) {
    for (const int id : entry.inputs) {
      if (id < 0 || finite(id)) continue;
      const Parameter<T> parameter = tape.parameter_of(id);
      return parameter ? "the parameter " + parameter.info().name : std::string("the inputs");
    }
    if (!finite(entry.outputs[0]))
      return detail::text_of("the output of ", entry.layer.empty() ? "the model" : entry.layer,
                             " (", entry.op->name, ")");
  }
  return "none of the layers' outputs";
}

}  // namespace anther::inline v0_1
