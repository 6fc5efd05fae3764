// How alike two values are along an axis, and a loss of it, as PyTorch's functions of these names:
//   cosine_similarity(a, b) = sum(a b) / (max(|a|, eps) max(|b|, eps))
//   triplet_margin_loss = max(|a - p + eps| - |a - n + eps| + margin, 0), norms over the last axis.
// Sums are in double. Backward computes them again.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "anther/autograd/tape.hpp"
#include "anther/core/parallel_for.hpp"
#include "anther/ops/reduction.hpp"
#include "anther/ops/shape.hpp"

namespace anther::inline v0_1 {

struct CosineAttributes {
  AxisParts parts;
  double eps;
};

// Of one place: its elements are `inner` apart.
struct CosineSums {
  double dot = 0, a_square = 0, b_square = 0;

  template <class T>
  CosineSums(const T* a, const T* b, const AxisParts& parts) {
    for (std::int64_t i = 0; i < parts.extent * parts.inner; i += parts.inner) {
      const double left = static_cast<double>(a[i]), right = static_cast<double>(b[i]);
      dot += left * right;
      a_square += left * left;
      b_square += right * right;
    }
  }
};

// Calls body(place, the number of its first element) for all places along an axis.
template <class Body>
void for_places(const AxisParts& parts, const Body& body) {
  constexpr std::int64_t block = 64;
  const std::int64_t places = parts.outer * parts.inner;
  parallel_for((places + block - 1) / block, places * parts.extent, [&](std::int64_t tile) {
    for (std::int64_t i = tile * block; i < std::min((tile + 1) * block, places); ++i)
      body(i, i / parts.inner * parts.extent * parts.inner + i % parts.inner);
  });
}

template <class T>
inline constexpr Op<T> cosine_similarity_op = {
    .name = "cosine_similarity",
    .forward =
        [](Call<T>& call) {
          const auto& a = call.template attributes<CosineAttributes>();
          for_places(a.parts, [&](std::int64_t place, std::int64_t first) {
            const CosineSums s(call.input(0) + first, call.input(1) + first, a.parts);
            call.output()[place] = static_cast<T>(s.dot / (std::max(std::sqrt(s.a_square), a.eps) *
                                                           std::max(std::sqrt(s.b_square), a.eps)));
          });
        },
    .backward =
        [](Call<T>& call) {
          const auto& attributes = call.template attributes<CosineAttributes>();
          const AxisParts& parts = attributes.parts;
          for (const int own : {0, 1}) {
            const auto dx = call.input_gradient(own);
            if (!dx) continue;
            const T *x = call.input(own), *other = call.input(1 - own);
            for_places(parts, [&](std::int64_t place, std::int64_t first) {
              const CosineSums s(x + first, other + first, parts);
              const double norm = std::sqrt(s.a_square);
              const double x_norm = std::max(norm, attributes.eps);
              const double other_norm = std::max(std::sqrt(s.b_square), attributes.eps);
              const double dy = static_cast<double>(call.output_gradient()[place]);
              const double across = dy / (x_norm * other_norm);
              // Where the norm counts: -cosine x / |x|^2.
              const double along = norm > attributes.eps ? across * s.dot / s.a_square : 0;
              for (std::int64_t k = 0; k < parts.extent; ++k) {
                const std::int64_t i = first + k * parts.inner;
                const double value =
                    across * static_cast<double>(other[i]) - along * static_cast<double>(x[i]);
                dx.to[i] = static_cast<T>(value) + (dx.add ? dx.add[i] : T(0));
              }
            });
          }
        },
};

// a and b have the same shape; the result lacks the axis.
template <class T>
Variable<T> cosine_similarity(const Variable<T>& a, const Variable<T>& b, int dim = 1,
                              double eps = 1e-8) {
  Tape<T>& tape = a.tape();
  const int axis = checked_axis(a, dim, "cosine_similarity");
  tape.check(a.shape() == b.shape(), "cosine_similarity: expected two tensors of one shape, got ",
             a.shape(), " and ", b.shape());
  Shape shape;
  for (int i = 0; i < a.shape().rank(); ++i)
    if (i != axis) shape.push_back(a.shape()[i]);
  return tape.apply(cosine_similarity_op<T>, CosineAttributes{axis_parts(a.shape(), axis), eps},
                    {a, b}, shape);
}

struct TripletMarginOptions {
  double margin = 1;
  double p = 2;  // of the norm
  double eps = 1e-6;
  bool swap =
      false;  // the negative's distance is the lesser of those to the anchor and the positive
  Reduction reduction = Reduction::mean;
};

struct TripletAttributes {
  TripletMarginOptions options;
  double scale;
};

// x^p for x >= 0; the usual powers without pow, which takes twenty times as long.
inline double distance_power(double x, double p) {
  return p == 2 ? x * x : p == 1 ? x : p == 0 ? 1 : std::pow(x, p);
}
// (sum |a - b + eps|^p)^(1/p); with an infinite p the greatest |a - b + eps|.
template <class T>
double pairwise_distance(const T* a, const T* b, std::int64_t count,
                         const TripletMarginOptions& o) {
  double sum = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const double d = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]) + o.eps);
    if (!std::isinf(o.p))
      sum += distance_power(d, o.p);
    else if (!(d <= sum) && !std::isnan(sum))
      sum = d;
  }
  return std::isinf(o.p) ? sum : std::pow(sum, 1 / o.p);
}

// The three distances of a row, and its loss.
struct TripletRow {
  double positive, negative, swapped;
  bool by_swap;  // whether `swapped` is the negative's distance
  double loss;

  template <class T>
  TripletRow(const T* a, const T* p, const T* n, std::int64_t count, const TripletMarginOptions& o)
      : positive(pairwise_distance(a, p, count, o)),
        negative(pairwise_distance(a, n, count, o)),
        swapped(o.swap ? pairwise_distance(p, n, count, o) : negative),
        by_swap(swapped < negative),
        loss(std::max(positive - std::min(negative, swapped) + o.margin, 0.0)) {}
};

template <class T>
inline constexpr Op<T> triplet_margin_loss_op = {
    .name = "triplet_margin_loss",
    .forward =
        [](Call<T>& call) {
          const auto& a = call.template attributes<TripletAttributes>();
          const Shape& shape = call.input_shape(0);
          double total = 0;
          for (std::int64_t row = 0; row < shape.rows(); ++row) {
            const std::int64_t at = row * shape.back();
            const TripletRow r(call.input(0) + at, call.input(1) + at, call.input(2) + at,
                               shape.back(), a.options);
            if (a.options.reduction == Reduction::none)
              call.output()[row] = static_cast<T>(r.loss);
            else
              total += r.loss;
          }
          if (a.options.reduction != Reduction::none)
            *call.output() = static_cast<T>(a.scale * total);
        },
    .backward =
        [](Call<T>& call) {
          const auto& a = call.template attributes<TripletAttributes>();
          const TripletMarginOptions& o = a.options;
          const Shape& shape = call.input_shape(0);
          const std::int64_t width = shape.back();
          GradientTarget<T> gradient[3];
          for (int i = 0; i < 3; ++i) {
            gradient[i] = call.input_gradient(i);
            call.start(gradient[i], shape.numel());
          }
          for (std::int64_t row = 0; row < shape.rows(); ++row) {
            const std::int64_t at = row * width;
            const T* x[] = {call.input(0) + at, call.input(1) + at, call.input(2) + at};
            const TripletRow r(x[0], x[1], x[2], width, o);
            if (r.loss <= 0) continue;
            const double dy =
                a.scale * static_cast<double>(
                              call.output_gradient()[o.reduction == Reduction::none ? row : 0]);
            // Of |left - right + eps|: sign(d) (|d| / distance)^(p - 1), 0 where d is 0. With an
            // infinite p the greatest |d| share it.
            const auto add = [&](int left, int right, double distance, double factor) {
              const auto difference = [&](std::int64_t i) {
                return static_cast<double>(x[left][i]) - static_cast<double>(x[right][i]) + o.eps;
              };
              std::int64_t greatest = 0;
              for (std::int64_t i = 0; std::isinf(o.p) && i < width; ++i)
                greatest += std::abs(difference(i)) == distance;
              if (greatest > 1) factor /= static_cast<double>(greatest);
              for (std::int64_t i = 0; distance != 0 && i < width; ++i) {
                const double d = difference(i);
                const double slope =
                    d == 0 ? 0
                           : factor *
                                 std::copysign(distance_power(std::abs(d) / distance, o.p - 1), d);
                if (gradient[left]) gradient[left].to[at + i] += static_cast<T>(slope);
                if (gradient[right]) gradient[right].to[at + i] -= static_cast<T>(slope);
              }
            };
            add(0, 1, r.positive, dy);
            if (r.by_swap)
              add(1, 2, r.swapped, -dy);
            else
              add(0, 2, r.negative, -dy);
          }
        },
};

// anchor, positive and negative (..., C), of one shape.
template <class T>
Variable<T> triplet_margin_loss(const Variable<T>& anchor, const Variable<T>& positive,
                                const Variable<T>& negative,
                                const TripletMarginOptions& options = {}) {
  Tape<T>& tape = anchor.tape();
  const Shape& shape = anchor.shape();
  tape.check(shape.rank() >= 1 && shape.rows() > 0 && positive.shape() == shape &&
                 negative.shape() == shape,
             "triplet_margin_loss: expected three tensors (..., C) of one shape, got ", shape, ", ",
             positive.shape(), " and ", negative.shape());
  tape.check(options.p > 0, "triplet_margin_loss: expected a p of more than 0, got ", options.p);
  Shape rows;
  for (int i = 0; i + 1 < shape.rank(); ++i) rows.push_back(shape[i]);
  const bool mean = options.reduction == Reduction::mean;
  return tape.apply(triplet_margin_loss_op<T>,
                    TripletAttributes{options, mean ? 1 / static_cast<double>(shape.rows()) : 1},
                    {anchor, positive, negative},
                    options.reduction == Reduction::none ? rows : Shape{});
}

}  // namespace anther::inline v0_1
