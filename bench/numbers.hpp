// What the benches compute with.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>

#include "anther/core/tensor.hpp"

namespace bench {

// A buffer of numbers in [-1, 1), the same each time.
inline anther::AlignedBuffer<float> numbers(std::int64_t size) {
  anther::AlignedBuffer<float> buffer(size);
  std::uint32_t state = 1;
  for (float& value : buffer) {
    state = state * 1664525u + 1013904223u;
    value = static_cast<float>(state >> 8) * 0x1p-23f - 1;
  }
  return buffer;
}

// Copies of some weights, as many as fill 64 MiB, taken in turn: what next() gives has left the
// caches since it was last read, while all else stays there. All share the memory, which belongs to
// the last that was asked.
class ColdWeights {
 public:
  explicit ColdWeights(std::shared_ptr<const anther::AlignedBuffer<float>> weights)
      : weights_(std::move(weights)), stride_((weights_->size() + 15) / 16 * 16) {}

  const float* next() {
    if (owner_ != this) fill();
    return memory_.data() + next_++ % (memory_.size() / stride_) * stride_;
  }

 private:
  void fill() {
    owner_ = this;
    for (std::int64_t i = 0; i + stride_ <= memory_.size(); i += stride_)
      std::copy_n(weights_->data(), weights_->size(), memory_.data() + i);
  }

  std::shared_ptr<const anther::AlignedBuffer<float>> weights_;
  std::int64_t stride_, next_ = 0;
  static inline anther::AlignedBuffer<float> memory_{1 << 24};
  static inline const ColdWeights* owner_ = nullptr;
};

}  // namespace bench
