// The forms of the element-wise ops in kernels/pointwise_table.inl in C++.
#pragma once

#include "anther/export/code_builder.hpp"
#include "anther/ops/pointwise.hpp"

namespace anther::inline v0_1::exports {

inline void pointwise_cpp(CodeBuilder& code, const Call<float>& call, const char* op) {
  const auto& numbers = call.attributes<kernels::PointwiseNumbers>();
  code.include("anther/kernels/pointwise.hpp");
  code.call(detail::text_of("pointwise_forward<float, Pointwise::", op, ">"), code.output(),
            code.input(0), call.output_shape().numel(), numbers);
}

inline void add_pointwise_cpp(CppForms& forms) {
#define ANTHER_POINTWISE(name, ...)                                                \
  forms.add_named(name##_op_name, [](CodeBuilder& code, const Call<float>& call) { \
    pointwise_cpp(code, call, #name);                                              \
  });
#define ANTHER_POINTWISE_1 ANTHER_POINTWISE
#define ANTHER_POINTWISE_2 ANTHER_POINTWISE
#include "anther/kernels/pointwise_table.inl"
}

}  // namespace anther::inline v0_1::exports
