// Progressive image size (Touvron et al. 2019; Tan and Le 2021): a run that begins with small
// images, which are quick, and ends with large ones. As text "96:128:160", which share the run
// evenly, or with the epochs of each, "96@10:128@6:160@4".
#pragma once

#include <charconv>
#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/data/loader.hpp"

namespace anther::inline v0_1::vision {

struct ImageStage {
  std::int64_t size = 224;  // pixels, a multiple of 32
  double weight = 1;        // its epochs, or its part of the run
};

class ImageSizes {
 public:
  // Throws, naming `option`, if the text is not as above, or a size no multiple of 32.
  ImageSizes(std::string_view option, std::string_view text) {
    const auto number = [&](std::string_view part, auto least, auto most) {
      decltype(least) value{};
      const auto [rest, error] = std::from_chars(part.data(), part.data() + part.size(), value);
      detail::check(error == std::errc() && rest == part.data() + part.size() && value >= least &&
                        value <= most,
                    option, ": expected sizes like 224, 96:128:160 or 96@10:128@6, got ", text);
      return value;
    };
    bool weighted = false;
    for (std::size_t begin = 0; begin <= text.size();) {
      const std::size_t end = std::min(text.find(':', begin), text.size());
      const std::string_view part = text.substr(begin, end - begin);
      const std::size_t at = part.find('@');
      detail::check(stages_.empty() || weighted == (at != std::string_view::npos), option,
                    ": expected the epochs of all sizes or of none, got ", text);
      weighted = at != std::string_view::npos;
      const std::int64_t size = number(part.substr(0, at), std::int64_t{1}, std::int64_t{8192});
      detail::check(size % 32 == 0, option, ": expected a multiple of 32, got ", size);
      stages_.push_back({size, weighted ? number(part.substr(at + 1), 1e-9, 1e9) : 1});
      begin = end + 1;
    }
  }

  const std::vector<ImageStage>& stages() const { return stages_; }
  std::int64_t first() const { return stages_.front().size; }
  // What is evaluated at.
  std::int64_t last() const { return stages_.back().size; }

  // The size of the images of an epoch, when `share` of the run (0 to 1) is done at its beginning.
  std::int64_t at(double share) const {
    double all = 0, until = 0;
    for (const ImageStage& stage : stages_) all += stage.weight;
    for (const ImageStage& stage : stages_) {
      until += stage.weight;
      if (share * all < until - 1e-9 * all) return stage.size;
    }
    return last();
  }

 private:
  std::vector<ImageStage> stages_;
};

// A loader for each size, made when it is needed; the one before is destroyed first. It is what
// fit() asks for the loader of an epoch.
class LoaderBySize {
 public:
  using Make = std::function<std::unique_ptr<data::Loader>(std::int64_t size)>;
  LoaderBySize(ImageSizes sizes, Make make) : sizes_(std::move(sizes)), make_(std::move(make)) {}

  data::Loader& operator()(std::int64_t /*epoch*/, double share) {
    return of_size(sizes_.at(share));
  }
  data::Loader& of_size(std::int64_t size) {
    if (!loader_ || size_ != size) {
      loader_.reset();
      loader_ = make_(size);
      size_ = size;
    }
    return *loader_;
  }

 private:
  ImageSizes sizes_;
  Make make_;
  std::unique_ptr<data::Loader> loader_;
  std::int64_t size_ = 0;
};

}  // namespace anther::inline v0_1::vision
