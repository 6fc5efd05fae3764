// The forms of normalisations in C++.
#pragma once

#include <string>
#include <vector>

#include "anther/core/once.hpp"
#include "anther/export/code_builder.hpp"
#include "anther/ops/norm.hpp"

namespace anther::inline v0_1::exports {

ANTHER_ONCE void group_norm_cpp(CodeBuilder& code, const Call<float>& call) {
  const auto& d = call.attributes<kernels::GroupNormDims>();
  code.include("anther/kernels/group_norm.hpp");
  code.call("group_norm_statistics<float>", code.output(3), code.output(1), code.output(2),
            code.input(0), code.input(1), code.input(2),
            code.workspace(kernels::group_norm_workspace(d)), d);
  const std::string x = detail::text_of(code.input(0), " + first * ", d.channels);
  code.call_rows("group_norm_rows<float>", "y", x, code.output(3), "first", "count", d);
}

inline void layer_norm_cpp(CodeBuilder& code, const Call<float>& call) {
  code.include("anther/kernels/layer_norm.hpp");
  const std::string y = code.float_output(call);
  code.call("layer_norm_forward<float>", y, code.output(1), code.output(2), code.input(0),
            code.input(1), code.input(2), call.attributes<kernels::LayerNormDims>());
  code.round_output(call, y);
}

inline void rms_norm_cpp(CodeBuilder& code, const Call<float>& call) {
  code.include("anther/kernels/rms_norm.hpp");
  const std::string y = code.float_output(call);
  code.call("rms_norm_forward<float>", y, code.output(1), code.input(0), code.input(1),
            call.attributes<kernels::RMSNormDims>());
  code.round_output(call, y);
}

ANTHER_ONCE void batch_norm_cpp(CodeBuilder& code, const Call<float>& call) {
  const auto& a = call.attributes<BatchNormAttributes<float>>();
  const auto statistic = [&](const float* values) {
    return code.constant(std::vector<double>(values, values + a.dims.channels));
  };
  code.include("anther/kernels/batch_norm.hpp");
  code.call("batch_norm_inference_affine<float>", code.output(4), statistic(a.mean()),
            statistic(a.var()), code.input(1), code.input(2),
            code.workspace(kernels::batch_norm_workspace(a.dims)), a.dims);
  const std::string x = detail::text_of(code.input(0), " + first * ", a.dims.channels);
  code.call_rows("batch_norm_rows<float>", "y", x, code.output(4), "first", "count", a.dims);
}

ANTHER_ONCE void add_norm_cpp(CppForms& forms) {
  forms.add_named(group_norm_op_name, group_norm_cpp);
  forms.add_named(layer_norm_op_name, layer_norm_cpp);
  forms.add_named(batch_norm_op_name, batch_norm_cpp);
  forms.add_named(rms_norm_op_name, rms_norm_cpp);
}

}  // namespace anther::inline v0_1::exports
