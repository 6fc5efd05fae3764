// The forms of convolutions in C++.
#pragma once

#include <cstdint>
#include <string>

#include "anther/core/once.hpp"
#include "anther/export/code_builder.hpp"
#include "anther/ops/conv2d.hpp"
#include "anther/ops/conv_transpose2d.hpp"

namespace anther::inline v0_1::exports {

ANTHER_ONCE void add_convolution_cpp(CppForms& forms) {
  forms.add_named(conv2d_op_name, [](CodeBuilder& code, const Call<float>& call) {
    const kernels::Conv2dDims d = conv2d_dims(call);
    code.include("anther/kernels/conv2d.hpp");
    const std::string y = code.float_output(call);
    code.call("conv2d_forward<float>", y, code.add(), code.input(0),
              code.packed(1, kernels::conv2d_pack(d)), code.input(2),
              code.workspace(kernels::conv2d_forward_workspace(d, 1)), d, code.apply_rows());
    code.round_output(call, y);
  });
  forms.add_named(conv_transpose2d_op_name, [](CodeBuilder& code, const Call<float>& call) {
    const kernels::Conv2dDims d = conv2d_dims(call);
    code.include("anther/kernels/conv2d.hpp");
    code.call("conv2d_backward_input<float>", code.output(), code.add(), code.input(0),
              code.packed(1, kernels::conv2d_input_pack(d)), code.input(2),
              code.workspace(kernels::conv2d_backward_input_workspace(d, 1)), d);
  });
  forms.add_named(depthwise_conv2d_op_name, [](CodeBuilder& code, const Call<float>& call) {
    const auto& d = call.attributes<kernels::DepthwiseConv2dDims>();
    code.include("anther/kernels/depthwise_conv2d_rows.hpp");
    const bool lazy = call.lazy_input().has_value(), rounds = call.output_is_bf16();
    const std::string take = detail::text_of(
        "[&](const float* rows, std::int64_t first, std::int64_t count) {\n"
        "        bf16_kernels<float>().narrow(as_bf16(",
        code.output(), ") + first * ", d.channels, ", rows, count * ", d.channels, ");\n      }");
    if (lazy || rounds)
      code.call("depthwise_conv2d_forward_of_rows<float>",
                detail::text_of("{", rounds ? "nullptr" : code.output(), ", ", code.add(), ", ",
                                lazy ? "nullptr" : code.input(0), ", ", code.input(1), ", ",
                                code.input(2), "}"),
                lazy ? code.input_rows() : "no_rows", rounds ? take : "no_rows",
                code.workspace(kernels::depthwise_conv2d_rows_workspace(d, 1)), d,
                code.apply_rows());
    else
      code.call("depthwise_conv2d_forward<float>", code.output(), code.add(), code.input(0),
                code.input(1), code.input(2), d, code.apply_rows());
  });
  forms.add_named(
      depthwise_conv_transpose2d_op_name, [](CodeBuilder& code, const Call<float>& call) {
        code.include("anther/kernels/depthwise_conv_transpose2d.hpp");
        const std::string y = code.float_output(call);
        code.call("depthwise_conv_transpose2d_forward<float>", y, code.input(0), code.input(1),
                  code.input(2), call.attributes<kernels::DepthwiseConvTranspose2dDims>());
        code.round_output(call, y);
      });
}

}  // namespace anther::inline v0_1::exports
