// A forward pass that is planned once (nn/inference_plan.hpp) and run often. A run records nothing
// and makes no heap allocation.
//
//   Inference<float> inference(model, {1, 224, 224, 3});
//   std::span<const float> logits = inference(image);
//
// A model of integers (token ids) is given integers, and a mask or a table that the model makes of
// constants is kept.
//
// The product that reads a norm or GELU computes it; BatchNorm uses its running statistics. Weights
// are packed once, and again only when they have changed. The result has the same bits as a pass on
// a tape in evaluation mode.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "anther/nn/dry_run.hpp"
#include "anther/nn/inference_plan.hpp"

namespace anther::inline v0_1 {

// Not to be used by several threads at once. Each thread may have its own, of the same model.
template <class T>
class Inference {
 public:
  // shape: of the input, including its batch. amp: as in TapeOptions. The model and the profile
  // outlive this object.
  Inference(const Module<T>& model, const Shape& shape, Profile* profile = nullptr, Amp amp = {})
      : stores_{&model.store()},
        pass_(model, shape, profile, amp),
        input_(tape_.id_of(pass_.input)),
        output_(tape_.id_of(pass_.output)),
        plan_(tape_, input_, output_),
        memory_(plan_.size()),
        integers_(plan_.integers_size()) {
    detail::check(!tape_.holds_integers(output_),
                  "inference: expected a model whose result is real numbers, got integers");
    for (int id = 0; id < tape_.value_count(); ++id) {
      auto& here = value(id);
      const std::int64_t at = plan_.offset_of(id);
      if (at >= 0 && here.holds_integers) here.integers = integers_.data() + at;
      if (at >= 0 && !here.holds_integers) here.data = memory_.data() + at;
      if (here.parameter)
        here.data = const_cast<T*>(
            std::as_const(*here.parameter.store).value(here.parameter.number).data());
      if (here.parameter &&
          std::find(stores_.begin(), stores_.end(), here.parameter.store) == stores_.end())
        stores_.push_back(here.parameter.store);
    }
    for (int id = 0; id < tape_.value_count(); ++id)
      if (const auto root = tape_.root_of(id); root.id != id) {
        if (value(root.id).data) value(id).data = value(root.id).data + root.first;
        if (value(root.id).integers) value(id).integers = value(root.id).integers + root.first;
      }
    tape_.options_.dry_run = false;
  }
  Inference(const Inference&) = delete;
  Inference& operator=(const Inference&) = delete;

  const Shape& input_shape() const { return tape_.shape_of(input_); }
  const Shape& output_shape() const { return tape_.shape_of(output_); }

  // The result, which lasts until the next call. Throws unless the input has as many elements as
  // the shape.
  std::span<const T> operator()(std::span<const T> input) {
    return run(input, value(input_).data, "integers");
  }
  std::span<const T> operator()(std::span<const std::int32_t> input) {
    return run(input, value(input_).integers, "real numbers");
  }

  // Bytes of all values.
  std::int64_t memory_bytes() const {
    return memory_.size() * static_cast<std::int64_t>(sizeof(T)) +
           integers_.size() * static_cast<std::int64_t>(sizeof(std::int32_t));
  }

 private:
  auto& value(int id) { return tape_.at(id); }

  // to: where the input goes; null where the model reads `others`.
  template <class Element>
  std::span<const T> run(std::span<const Element> input, Element* to, const char* others) {
    detail::check(to != nullptr || input_shape().numel() == 0, "inference: the model reads ",
                  others);
    detail::check(std::ssize(input) == input_shape().numel(), "inference: expected ", input_shape(),
                  ", that is ", input_shape().numel(), " elements, got ", input.size());
    for (const ParameterStore<T>* store : stores_) store->check_readable();
    std::copy(input.begin(), input.end(), to);
    for (const auto& entry : plan_.entries()) {
      if (entry.merged || entry.applied) continue;
      plan_.for_each_applied(entry, [&](const auto& lazy) {
        if (lazy.op->forward) tape_.run(lazy, lazy.op->forward, false);
      });
      if (entry.op->forward) tape_.run(entry, entry.op->forward, false);
      T* result = value(entry.outputs[0]).data;
      if (entry.op->forward_rows && result)
        Call<T>(tape_, entry).forward_rows(result, 0, value(entry.outputs[0]).shape.rows());
    }
    return {value(output_).data, static_cast<std::size_t>(output_shape().numel())};
  }

  std::vector<const ParameterStore<T>*> stores_;  // the model's, and others that it reads
  DryRun<T> pass_;
  Tape<T>& tape_ = pass_.tape;
  int input_, output_;
  InferencePlan<T> plan_;
  AlignedBuffer<T> memory_;
  AlignedBuffer<std::int32_t> integers_;
};

}  // namespace anther::inline v0_1
