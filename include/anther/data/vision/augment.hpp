// Random changes of a training picture, each drawn from the sample's key under a name of its own:
//
//   photograph -> crop, flips, rotation, RandAugment's geometry: one sampling, no picture between
//              -> RandAugment's colours -> colour jitter -> normalisation -> random erasing
//
//   const Augment augment(preprocess, {.scale = Range{0.3, 1}, .hflip = 0.5});
//   Loader loader(prepared(images, size, size, augment), {.shuffle = true});
//
// The sampling is that of evaluation: two neighbours in each direction for Preprocess's `tensor`,
// antialiasing for its `short_side`. Names are those of timm's train.py where it has one. By
// default everything is off, and a picture is prepared as for evaluation, bit for bit.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/core/once.hpp"
#include "anther/core/random.hpp"
#include "anther/data/vision/affine.hpp"
#include "anther/data/vision/color.hpp"
#include "anther/data/vision/color_jitter.hpp"
#include "anther/data/vision/crop.hpp"
#include "anther/data/vision/image.hpp"
#include "anther/data/vision/rand_augment.hpp"
#include "anther/data/vision/random_erasing.hpp"
#include "anther/data/vision/resize.hpp"
#include "anther/data/vision/transforms.hpp"

namespace anther::inline v0_1::vision {

struct AugmentOptions {
  std::optional<Range> scale = {};   // random resized crop: the share of the area; none: no crop
  Range ratio = {3.0 / 4, 4.0 / 3};  // of the crop's width to its height
  double hflip = 0;                  // probability of a mirrored picture
  double vflip = 0;                  // of one upside down
  double rotation = 0;  // at most so many degrees in either direction, about the crop's middle
  ColorJitterOptions color_jitter = {};
  std::optional<RandAugmentOptions> rand_augment = {};
  RandomErasingOptions random_erasing = {};

  // Throws, with its name, if a value makes no sense.
  void validate() const {
    if (scale) check_range("scale", *scale, 0, 1);
    check_range("ratio", ratio, 0, 1000);
    detail::check(hflip >= 0 && hflip <= 1, "hflip: expected a probability, 0 to 1, got ", hflip);
    detail::check(vflip >= 0 && vflip <= 1, "vflip: expected a probability, 0 to 1, got ", vflip);
    detail::check(rotation >= 0 && rotation <= 180, "rotation: expected 0 to 180 degrees, got ",
                  rotation);
    color_jitter.validate();
    if (rand_augment) rand_augment->validate();
    random_erasing.validate();
  }

  friend bool operator==(const AugmentOptions&, const AugmentOptions&) = default;
};

// The defaults of timm's train.py.
inline AugmentOptions timm_augmentation() {
  return {.scale = Range{0.08, 1},
          .hflip = 0.5,
          .color_jitter = {.brightness = 0.4, .contrast = 0.4, .saturation = 0.4}};
}

// How a picture is framed: a part of it, turned and mirrored.
struct Framing {
  std::optional<Window> crop = {};  // none: the evaluation's
  bool hflip = false;
  bool vflip = false;
  double degrees = 0;
  Affine warp = {};  // RandAugment's, in shares of the crop from its middle

  bool upright() const { return degrees == 0 && warp == Affine{}; }
};

// The mirror image, in place.
ANTHER_ONCE void flip_horizontally(const Pixels& pixels) {
  for (int y = 0; y < pixels.height; ++y) {
    float* row = pixels.values + static_cast<std::ptrdiff_t>(y) * pixels.width * 3;
    for (int left = 0, right = pixels.width - 1; left < right; ++left, --right)
      std::swap_ranges(row + 3 * left, row + 3 * left + 3, row + 3 * right);
  }
}
ANTHER_ONCE void flip_vertically(const Pixels& pixels) {
  const std::ptrdiff_t row = std::ptrdiff_t{3} * pixels.width;
  for (int top = 0, bottom = pixels.height - 1; top < bottom; ++top, --bottom)
    std::swap_ranges(pixels.values + top * row, pixels.values + (top + 1) * row,
                     pixels.values + bottom * row);
}

// A SampleTransform. out: image_size * image_size * 3 floats, (size, size, 3).
class Augment {
 public:
  Augment(const Preprocess& preprocess, const AugmentOptions& options)
      : options_((options.validate(), options)),
        prepare_(preprocess),
        plain_(without_mean(preprocess)) {}

  const AugmentOptions& options() const { return options_; }

  void operator()(const Image& image, RandomKey key, float* out) const {
    const int size = static_cast<int>(prepare_.options().image_size);
    const Pixels pixels{out, size, size};
    std::vector<RandAugmentStep> steps;
    if (options_.rand_augment)
      steps = rand_augment_plan(*options_.rand_augment, key.fold("rand_augment"));
    const Framing framing = draw_framing(image, steps, key);
    std::erase_if(steps, [](const RandAugmentStep& step) { return step.geometric(); });

    // Colours change between 0 and 1, before the normalisation.
    const bool colours = !steps.empty() || options_.color_jitter.on();
    frame(image, framing, colours ? plain_ : prepare_, pixels);
    for (const RandAugmentStep& step : steps) apply(step, pixels);
    if (options_.color_jitter.on())
      color_jitter(pixels, options_.color_jitter, key.fold("color_jitter"));
    if (colours) normalize(pixels);
    random_erasing(pixels, options_.random_erasing, prepare_.levels(), key.fold("random_erasing"));
  }

 private:
  static Preprocess without_mean(Preprocess preprocess) {
    preprocess.mean = {0, 0, 0};
    preprocess.std = {1, 1, 1};
    return preprocess;
  }

  Framing draw_framing(const Image& image, const std::vector<RandAugmentStep>& steps,
                       RandomKey key) const {
    Framing framing;
    if (options_.scale)
      framing.crop = random_resized_crop(image.width, image.height, *options_.scale, options_.ratio,
                                         key.fold("crop"));
    framing.hflip = uniform(key.fold("hflip"), 0) < options_.hflip;
    framing.vflip = uniform(key.fold("vflip"), 0) < options_.vflip;
    if (options_.rotation > 0)
      framing.degrees = uniform(key.fold("rotation"), 0, {-options_.rotation, options_.rotation});
    for (const RandAugmentStep& step : steps) framing.warp = framing.warp * geometry_of(step);
    return framing;
  }

  // Samples the image once, in the cheapest way that does it.
  static void frame(const Image& image, const Framing& framing, const Transform& prepare,
                    const Pixels& out) {
    detail::check(image.width > 0 && image.height > 0, "augment: expected an image, got ",
                  image.width, " x ", image.height);
    if (!framing.upright()) return warp(image, framing, prepare, out);
    if (framing.crop)
      prepare(image, *framing.crop, out.values);
    else
      prepare(image, out.values);
    if (framing.hflip) flip_horizontally(out);
    if (framing.vflip) flip_vertically(out);
  }

  static void warp(const Image& image, const Framing& framing, const Transform& prepare,
                   const Pixels& out) {
    const Window window = framing.crop.value_or(prepare.window(image));
    const auto& [across, down] = window;
    // Maps a place in the output to one in the photograph.
    const Affine map =
        Affine::translation(across.begin + across.length / 2, down.begin + down.length / 2) *
        Affine::rotation(framing.degrees) * Affine::scaling(across.length, down.length) *
        Affine::scaling(framing.hflip ? -1 : 1, framing.vflip ? -1 : 1) * framing.warp;
    const double pixels_a_side = std::sqrt(std::fabs(map.determinant())) / out.width;
    const int samples = prepare.options().resize == ResizeMode::tensor
                            ? 1
                            : std::clamp(static_cast<int>(std::lround(pixels_a_side)), 1, 16);
    sample_affine(image, map, out.width, samples, prepare.levels(), out.values);
  }

  // What the table does to levels, from 0 to 1.
  void normalize(const Pixels& pixels) const {
    float first[3], scale[3];
    for (std::size_t c = 0; c < 3; ++c) {
      first[c] = prepare_.levels()[c][0];
      scale[c] = prepare_.levels()[c][255] - first[c];
    }
    for (std::size_t i = 0; i < pixels.size(); i += 3)
      for (std::size_t c = 0; c < 3; ++c)
        pixels.values[i + c] = first[c] + scale[c] * pixels.values[i + c];
  }

  AugmentOptions options_;
  Transform prepare_;  // as for evaluation
  Transform plain_;    // the same, between 0 and 1
};

}  // namespace anther::inline v0_1::vision
