// The extents of a tensor. A feature map is (N, H, W, C): channels last.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <string>

#include "anther/core/check.hpp"

namespace anther::inline v0_1 {

// Up to six extents, each at least 0. Trivially copyable, so that a tape entry can hold it.
class Shape {
 public:
  static constexpr int max_rank = 6;

  constexpr Shape() = default;
  constexpr Shape(std::initializer_list<std::int64_t> extents) {
    detail::check(extents.size() <= max_rank, "shape: expected at most ", max_rank,
                  " extents, got ", extents.size());
    for (const std::int64_t extent : extents) push_back(extent);
  }

  constexpr int rank() const { return rank_; }
  constexpr std::int64_t operator[](int axis) const { return extents_[axis]; }
  constexpr std::int64_t& operator[](int axis) { return extents_[axis]; }
  // The last extent: the channels. A scalar is a row of one.
  constexpr std::int64_t back() const { return rank_ > 0 ? extents_[rank_ - 1] : 1; }

  constexpr void push_back(std::int64_t extent) {
    detail::check(rank_ < max_rank, "shape: expected at most ", max_rank, " extents");
    detail::check(extent >= 0, "shape: expected extents of at least 0, got ", extent);
    extents_[rank_++] = extent;
  }

  // The number of elements; 1 for a scalar's shape (). Throws if it overflows.
  constexpr std::int64_t numel() const {
    detail::check(can_be_counted(), "shape: the number of elements overflows");
    std::int64_t count = 1;
    for (int axis = 0; axis < rank_; ++axis) count *= extents_[axis];
    return count;
  }
  // Whether no product of its extents overflows. Those of an empty tensor count too: strides and
  // numbers of rows are products that may leave its 0 out.
  constexpr bool can_be_counted() const {
    std::int64_t count = 1;
    for (int axis = 0; axis < rank_; ++axis) {
      const std::int64_t extent = extents_[axis];
      if (extent > 0 && count > std::numeric_limits<std::int64_t>::max() / extent) return false;
      count *= extent > 0 ? extent : 1;
    }
    return true;
  }

  // The number of rows of the matrix (rows, channels) that a channels-last tensor is.
  constexpr std::int64_t rows() const {
    std::int64_t count = 1;
    for (int axis = 0; axis + 1 < rank_; ++axis) count *= extents_[axis];
    return count;
  }

  friend constexpr bool operator==(const Shape& a, const Shape& b) {
    if (a.rank_ != b.rank_) return false;
    for (int axis = 0; axis < a.rank_; ++axis)
      if (a.extents_[axis] != b.extents_[axis]) return false;
    return true;
  }

 private:
  std::int64_t extents_[max_rank] = {};
  int rank_ = 0;
};

inline std::string to_string(const Shape& shape) {
  std::string text = "(";
  for (int axis = 0; axis < shape.rank(); ++axis) {
    if (axis > 0) text += ", ";
    detail::append_text(text, shape[axis]);
  }
  return text + ")";
}

}  // namespace anther::inline v0_1
