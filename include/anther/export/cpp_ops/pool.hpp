// The forms of pooling and resizing in C++.
#pragma once

#include "anther/core/once.hpp"
#include "anther/export/code_builder.hpp"
#include "anther/ops/interpolate.hpp"
#include "anther/ops/pool.hpp"

namespace anther::inline v0_1::exports {

ANTHER_ONCE void add_pool_cpp(CppForms& forms) {
  forms.add_named(global_average_pool_op_name, [](CodeBuilder& code, const Call<float>& call) {
    code.include("anther/kernels/global_average_pool.hpp");
    code.call("global_average_pool_forward<float>", code.output(), code.input(0),
              call.attributes<kernels::GlobalAveragePoolDims>());
  });
  forms.add_named(max_pool2d_op_name, [](CodeBuilder& code, const Call<float>& call) {
    code.include("anther/kernels/pool2d.hpp");
    code.call("max_pool2d_forward<float>", code.output(), code.input(0),
              call.attributes<kernels::MaxPool2dDims>());
  });
  forms.add_named(avg_pool2d_op_name, [](CodeBuilder& code, const Call<float>& call) {
    code.include("anther/kernels/pool2d.hpp");
    code.call("avg_pool2d_forward<float>", code.output(), code.input(0),
              call.attributes<kernels::AvgPool2dDims>());
  });
  forms.add_named(interpolate_op_name, [](CodeBuilder& code, const Call<float>& call) {
    code.include("anther/kernels/interpolate.hpp");
    code.call("interpolate_forward<float>", code.output(), code.input(0),
              call.attributes<kernels::InterpolateDims>());
  });
  forms.add_named(subsample_op_name, [](CodeBuilder& code, const Call<float>& call) {
    const auto& d = call.attributes<kernels::SubsampleDims>();
    code.include("anther/kernels/subsample.hpp");
    if (call.lazy_input())
      code.call("subsample_forward_rows<float>", code.output(), code.input_rows(), d);
    else
      code.call("subsample_forward<float>", code.output(), code.input(0), d);
  });
}

}  // namespace anther::inline v0_1::exports
