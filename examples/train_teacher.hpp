// The teacher of train_flowers --teacher: a trained model of the registry, which is given the
// images that the student is trained on.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "anther/core/parallel_for.hpp"
#include "anther/data/vision/preprocess_json.hpp"
#include "anther/models/loaded_model.hpp"
#include "anther/ops/interpolate.hpp"
#include "anther/train/predictor.hpp"

// Gives the logits of images that are prepared as the student's are. The teacher sees them with its
// own mean and deviation, and at its own size: images of another size are interpolated.
class Teacher {
 public:
  // size: side of the images that the teacher sees; 0: its own. Throws, naming the file, if it is
  // no model of these classes, or cannot take such images.
  Teacher(const std::filesystem::path& path, const std::vector<std::string>& class_names,
          const anther::vision::Preprocess& student, std::int64_t size)
      : name_(path.string()), loaded_(path) {
    using anther::detail::check;
    const std::vector<std::string>& own = loaded_.card.class_names;
    check(own.size() == class_names.size(), name_, ": expected a teacher of the data's ",
          class_names.size(), " classes, got one of ", own.size());
    for (std::size_t i = 0; i < own.size(); ++i)
      check(own[i] == class_names[i], name_, ": expected a teacher of the data's classes, whose ",
            i, ". is ", anther::io::printable(class_names[i]), ", got ",
            anther::io::printable(own[i]));
    anther::vision::Preprocess teacher = student;
    if (loaded_.card.preprocess.is_object())
      teacher = anther::vision::preprocess_from_json(loaded_.card.preprocess);
    if (size > 0) teacher.image_size = size;
    for (std::size_t c = 0; c < 3; ++c) {
      scale_[c] = student.std[c] / teacher.std[c];
      offset_[c] = (student.mean[c] - teacher.mean[c]) / teacher.std[c];
      same_ = same_ && student.std[c] == teacher.std[c] && student.mean[c] == teacher.mean[c];
    }
    view_ = std::make_unique<View>(*loaded_.module, teacher.image_size);
    try {
      const anther::Shape outputs = predictor(student.image_size).output_shape();
      check(outputs == anther::Shape{std::ssize(class_names)}, "expected logits of ",
            class_names.size(), " classes, got outputs of the shape ", outputs);
    } catch (const anther::Error& error) {
      anther::detail::fail(name_, ": as a teacher of images of ", teacher.image_size,
                           " pixels: ", error.what());
    }
  }

  // images (N, size, size, 3) to logits (N, classes). Safe to call from several threads.
  anther::Tensor<float> operator()(const anther::Tensor<float>& images) const {
    const anther::Predictor<float>& predict = predictor(images.shape()[1]);
    if (same_) return predict(images);
    anther::Tensor<float> own(images.shape());
    const std::int64_t pixels = images.size() / images.shape()[0] / 3;
    anther::parallel_for(images.shape()[0], images.size(), [&](std::int64_t n) {
      const float* from = images.data() + n * pixels * 3;
      float* to = own.data() + n * pixels * 3;
      for (std::int64_t i = 0; i < pixels; ++i)
        for (std::size_t c = 0; c < 3; ++c)
          to[3 * i + static_cast<std::int64_t>(c)] =
              from[3 * i + static_cast<std::int64_t>(c)] * scale_[c] + offset_[c];
    });
    return predict(own);
  }

  std::string description() const {
    return anther::detail::text_of(loaded_.chosen.model->name, " of ", name_,
                                   ", which sees images of ", view_->size, " pixels");
  }

 private:
  // The model, with images made its size before.
  struct View : anther::Module<float> {
    View(const anther::Module<float>& model, std::int64_t image_size)
        : Module(model.store(), "Teacher", {.container = true}), model_(model), size(image_size) {}
    anther::Variable<float> forward(anther::Variable<float> x) const override {
      if (x.shape()[1] != size || x.shape()[2] != size)
        x = interpolate(x, {.size = size, .mode = anther::InterpolateMode::bilinear});
      return model_(x);
    }
    const anther::Module<float>& model_;
    std::int64_t size;
  };

  const anther::Predictor<float>& predictor(std::int64_t size) const {
    const std::lock_guard lock(mutex_);
    auto& found = predictors_[size];
    if (!found)
      found = std::make_unique<anther::Predictor<float>>(*view_, anther::Shape{size, size, 3});
    return *found;
  }

  std::string name_;
  anther::LoadedModel loaded_;
  std::unique_ptr<View> view_;
  std::array<float, 3> scale_{}, offset_{};
  bool same_ = true;
  mutable std::map<std::int64_t, std::unique_ptr<anther::Predictor<float>>> predictors_;
  mutable std::mutex mutex_;
};
