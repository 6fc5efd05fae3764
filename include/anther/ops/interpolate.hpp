// Maps of another size. x (N, H, W, C), y (N, H', W', C). Backward keeps nothing.
#pragma once

#include <cmath>

#include "anther/autograd/tape.hpp"
#include "anther/kernels/interpolate.hpp"
#include "anther/ops/extent2d.hpp"

namespace anther::inline v0_1 {

enum class InterpolateMode { nearest, bilinear };

// A factor for the height and one for the width; one number stands for both.
struct Scale2d {
  double height, width;
  constexpr Scale2d(double both) : height(both), width(both) {}  // NOLINT: 2 means twice as large
  constexpr Scale2d(double h, double w) : height(h), width(w) {}
};

// Of size and scale_factor one is given.
struct InterpolateOptions {
  Extent2d size = 0;         // 0: not given
  Scale2d scale_factor = 0;  // 0: not given
  InterpolateMode mode = InterpolateMode::nearest;
  bool align_corners = false;  // of bilinear: the corners of both maps are at the same places
};

inline constexpr char interpolate_op_name[] = "interpolate";
template <class T>
inline constexpr Op<T> interpolate_op = {
    .name = interpolate_op_name,
    .forward =
        [](Call<T>& call) {
          kernels::interpolate_forward(call.output(), call.input(0),
                                       call.template attributes<kernels::InterpolateDims>());
        },
    .backward =
        [](Call<T>& call) {
          if (const auto dx = call.input_gradient(0))
            kernels::interpolate_backward(dx.to, dx.add, call.output_gradient(),
                                          call.template attributes<kernels::InterpolateDims>());
        },
};

// PyTorch's interpolate of a map. Throws unless either the size or the factor is given.
template <class T>
Variable<T> interpolate(const Variable<T>& x, const InterpolateOptions& options) {
  Tape<T>& tape = x.tape();
  const Shape& in = x.shape();
  tape.check(in.rank() == 4 && is_extent({in[1], in[2]}, 1),
             "interpolate: expected a map (N, H, W, C), got ", in);
  const bool has_size = options.size != Extent2d{0};
  const Scale2d factor = options.scale_factor;
  const bool has_factor = factor.height != 0 || factor.width != 0;
  tape.check(has_size != has_factor, "interpolate: expected either a size or a scale factor, got ",
             has_size ? "both" : "neither");
  tape.check(!options.align_corners || options.mode == InterpolateMode::bilinear,
             "interpolate: expected the bilinear mode with align_corners, got the nearest");
  tape.check(!has_factor || (factor.height > 0 && factor.width > 0 &&
                             std::isfinite(factor.height) && std::isfinite(factor.width)),
             "interpolate: expected a positive scale factor, got ", factor.height, " and ",
             factor.width);
  // One more than what is allowed is as wrong as any larger number.
  const auto scaled = [](std::int64_t size, double by) {
    return static_cast<std::int64_t>(std::fmin(std::floor(static_cast<double>(size) * by),
                                               static_cast<double>(most_extent) + 1));
  };
  const Extent2d out =
      has_size ? options.size : Extent2d(scaled(in[1], factor.height), scaled(in[2], factor.width));
  tape.check(is_extent(out, 1), "interpolate: expected a size of at least 1, at most ", most_extent,
             ", got ", out);
  const kernels::InterpolateDims d{.batch = in[0],
                                   .height = in[1],
                                   .width = in[2],
                                   .channels = in[3],
                                   .out_height = out.height,
                                   .out_width = out.width,
                                   .bilinear = options.mode == InterpolateMode::bilinear ? 1 : 0,
                                   .align_corners = options.align_corners ? 1 : 0,
                                   .scale_height = has_factor ? 1 / factor.height : 0,
                                   .scale_width = has_factor ? 1 / factor.width : 0};
  return tape.apply(interpolate_op<T>, d, {x}, {in[0], out.height, out.width, in[3]});
}

}  // namespace anther::inline v0_1
