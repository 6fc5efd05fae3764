// The forms of the element-wise ops in kernels/pointwise_table.inl in C++.
#pragma once

#include "anther/core/once.hpp"
#include "anther/export/code_builder.hpp"
#include "anther/ops/pointwise.hpp"

namespace anther::inline v0_1::exports {

ANTHER_ONCE void pointwise_cpp(CodeBuilder& code, const Call<float>& call, const char* op,
                               bool is_lazy) {
  const auto& numbers = call.attributes<kernels::PointwiseNumbers>();
  code.include("anther/kernels/pointwise.hpp");
  const std::string function = detail::text_of("pointwise_forward<float, Pointwise::", op, ">");
  const std::int64_t columns = call.output_shape().back();
  const std::string count = detail::text_of("count * ", columns);
  const bool lazy_input = call.lazy_input().has_value();
  if (is_lazy) {
    const std::string x = lazy_input ? "y" : detail::text_of(code.input(0), " + first * ", columns);
    const std::string rows = lazy_input ? code.input_rows() + "(y, first, count);\n      " : "";
    code.rows(detail::text_of(rows, function, "(", code_list("y", x, count, numbers), ")"));
    return;
  }
  if (lazy_input)
    code.statement(detail::text_of(
        code.input_rows(), "(",
        code_list(code.output(), std::int64_t{0}, call.output_shape().rows()), ")"));
  code.call(function, code.output(), lazy_input ? code.output() : code.input(0),
            call.output_shape().numel(), numbers);
}

ANTHER_ONCE void add_pointwise_cpp(CppForms& forms) {
#define ANTHER_POINTWISE(name, ...)                                                \
  forms.add_named(name##_op_name, [](CodeBuilder& code, const Call<float>& call) { \
    pointwise_cpp(code, call, #name, pointwise_is_lazy(kernels::Pointwise::name)); \
  });
#define ANTHER_POINTWISE_1 ANTHER_POINTWISE
#define ANTHER_POINTWISE_2 ANTHER_POINTWISE
#include "anther/kernels/pointwise_table.inl"
}

}  // namespace anther::inline v0_1::exports
