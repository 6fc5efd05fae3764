// A forward pass that is planned once and run often: which value lives from when to when follows
// from a dry run, and values whose lives do not overlap share memory. Nothing is recorded anew, and
// no heap allocation is made.
//
//   Inference<float> inference(model, {1, 224, 224, 3});
//   std::span<const float> logits = inference(image);
//
// Norms and GELU are computed by the product that reads them, BatchNorm from its running
// statistics; weights are packed once, and again only when they change. The result has the bits of
// a pass on a tape in evaluation mode.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "anther/autograd/tape.hpp"
#include "anther/nn/module.hpp"

namespace anther::inline v0_1 {

// Not for use by several threads at once; each may have one of its own, of the same model.
template <class T>
class Inference {
 public:
  // shape: of the input, its batch included. The model outlives this, and so does the profile.
  Inference(const Module<T>& model, const Shape& shape, Profile* profile = nullptr) {
    tape_.begin({.training = false, .backward = false, .dry_run = true, .profile = profile});
    const Variable<T> input = tape_.input(shape), output = model(input);
    tape_.run_pending();
    input_ = tape_.id_of(input);
    output_ = tape_.id_of(output);
    choose_lazy();
    place();
    tape_.options_.dry_run = false;
  }

  const Shape& input_shape() const { return tape_.shape_of(input_); }
  const Shape& output_shape() const { return tape_.shape_of(output_); }

  // The result, which lasts until the next call. Throws unless the input has the shape's size.
  std::span<const T> operator()(std::span<const T> input) {
    check(std::ssize(input) == input_shape().numel(), "inference: expected ", input_shape(),
          ", that is ", input_shape().numel(), " elements, got ", input.size());
    std::copy(input.begin(), input.end(), value(input_).data);
    for (const Entry& entry : tape_.entries_) {
      if (entry.op->forward) tape_.run(entry, entry.op->forward, false);
      T* result = value(entry.outputs[0]).data;
      if (entry.op->forward_rows && result)
        Call<T>(tape_, entry).forward_rows(result, 0, value(entry.outputs[0]).shape.rows());
    }
    return {value(output_).data, static_cast<std::size_t>(output_shape().numel())};
  }

  // Bytes of all values.
  std::int64_t memory_bytes() const {
    return memory_.size() * static_cast<std::int64_t>(sizeof(T));
  }

 private:
  using Entry = typename Tape<T>::Entry;

  auto& value(int id) { return tape_.at(id); }

  // A lazy result is stored only where a reader needs it whole.
  void choose_lazy() {
    stored_.assign(tape_.values_.size(), true);
    const auto is_stored = [&](int id) -> std::vector<bool>::reference {
      return stored_[static_cast<std::size_t>(id)];
    };
    for (const Entry& entry : tape_.entries_)
      if (entry.op->forward_rows) is_stored(entry.outputs[0]) = entry.outputs[0] == output_;
    for (const Entry& entry : tape_.entries_) {
      if (entry.add >= 0) is_stored(entry.add) = true;
      for (std::size_t i = 0; i < entry.inputs.size(); ++i)
        if (entry.inputs[i] >= 0 && (i > 0 || !entry.op->takes_lazy))
          is_stored(entry.inputs[i]) = true;
    }
    for (Entry& entry : tape_.entries_)
      if (!entry.inputs.empty() && entry.inputs[0] >= 0 && !is_stored(entry.inputs[0]))
        entry.lazy = value(entry.inputs[0]).producer;
  }

  // Calls body(id) for every value that an entry reads.
  template <class Body>
  void for_each_read(const Entry& entry, const Body& body) const {
    if (entry.add >= 0) body(entry.add);
    for (std::size_t i = 0; i < entry.inputs.size(); ++i) {
      if (i > 0 || entry.lazy < 0) {
        if (entry.inputs[i] >= 0) body(entry.inputs[i]);
        continue;
      }
      // The rows that it computes itself come from the lazy op's inputs, and what that has kept.
      const Entry& lazy = tape_.entries_[static_cast<std::size_t>(entry.lazy)];
      for (const int id : lazy.inputs)
        if (id >= 0) body(id);
      for (const int id : lazy.outputs)
        if (id != lazy.outputs[0]) body(id);
    }
  }

  // Memory that is free, from `at` on.
  struct Gap {
    std::int64_t at, size;
  };

  // Gives every value its place: the smallest gap that has room, or the end.
  void place() {
    const int entries = static_cast<int>(tape_.entries_.size());
    std::vector<int> last_read(tape_.values_.size(), -1);
    for (int e = 0; e < entries; ++e)
      for_each_read(tape_.entries_[static_cast<std::size_t>(e)],
                    [&](int id) { last_read[static_cast<std::size_t>(id)] = e; });
    last_read[static_cast<std::size_t>(output_)] = entries;

    std::vector<std::int64_t> offset(tape_.values_.size(), -1);
    std::vector<Gap> gaps;
    std::int64_t end = 0;
    const auto room = [&](int id) { return (value(id).shape.numel() + 15) / 16 * 16; };
    const auto take = [&](int id) {
      offset[static_cast<std::size_t>(id)] = take_gap(gaps, end, room(id));
    };
    take(input_);
    for (int e = 0; e < entries; ++e) {
      const Entry& entry = tape_.entries_[static_cast<std::size_t>(e)];
      for (const int id : entry.outputs)
        if (stored_[static_cast<std::size_t>(id)]) take(id);
      for (std::size_t id = 0; id < offset.size(); ++id) {
        const int dies = std::max(last_read[id], tape_.values_[id].producer);
        if (offset[id] >= 0 && dies == e) give_gap(gaps, {offset[id], room(static_cast<int>(id))});
      }
    }
    memory_ = AlignedBuffer<T>(end);
    for (std::size_t id = 0; id < offset.size(); ++id) {
      auto& here = tape_.values_[id];
      if (offset[id] >= 0) here.data = memory_.data() + offset[id];
      if (here.parameter >= 0)
        here.data =
            const_cast<T*>(std::as_const(*tape_.parameter_store_).value(here.parameter).data());
    }
  }
  static std::int64_t take_gap(std::vector<Gap>& gaps, std::int64_t& end, std::int64_t size) {
    auto best = gaps.end();
    for (auto gap = gaps.begin(); gap != gaps.end(); ++gap)
      if (gap->size >= size && (best == gaps.end() || gap->size < best->size)) best = gap;
    if (best == gaps.end()) {
      end += size;
      return end - size;
    }
    const std::int64_t at = best->at;
    best->at += size;
    best->size -= size;
    if (best->size == 0) gaps.erase(best);
    return at;
  }
  static void give_gap(std::vector<Gap>& gaps, Gap gap) {
    const auto next =
        std::find_if(gaps.begin(), gaps.end(), [&](const Gap& other) { return other.at > gap.at; });
    auto here = gaps.insert(next, gap);
    if (here + 1 != gaps.end() && here->at + here->size == (here + 1)->at) {
      here->size += (here + 1)->size;
      gaps.erase(here + 1);
    }
    if (here != gaps.begin() && (here - 1)->at + (here - 1)->size == here->at) {
      (here - 1)->size += here->size;
      gaps.erase(here);
    }
  }

  Tape<T> tape_;
  int input_ = -1, output_ = -1;
  std::vector<bool> stored_;  // of each value: whether it has a place
  AlignedBuffer<T> memory_;
};

}  // namespace anther::inline v0_1
