// The forms of element-wise ops in C++.
#pragma once

#include "anther/core/once.hpp"
#include "anther/export/code_builder.hpp"
#include "anther/ops/activation.hpp"
#include "anther/ops/arithmetic.hpp"
#include "anther/ops/where.hpp"

namespace anther::inline v0_1::exports {

ANTHER_ONCE void add_elementwise_cpp(CppForms& forms) {
  forms.add_named(add_op_name, [](CodeBuilder& code, const Call<float>& call) {
    code.include("anther/kernels/elementwise.hpp");
    code.call("add<float>", code.output(), code.input(0), code.input(1),
              call.output_shape().numel());
  });
#define ANTHER_BINARY(name, ...)                                                             \
  forms.add_named(name##_broadcast_op_name, [](CodeBuilder& code, const Call<float>& call) { \
    code.include("anther/kernels/broadcast.hpp");                                            \
    code.call("binary_forward<float, Binary::" #name ">", code.output(), code.input(0),      \
              code.input(1), call.attributes<kernels::BroadcastDims>());                     \
  });
#include "anther/kernels/binary_table.inl"
  forms.add_named(where_op_name, [](CodeBuilder& code, const Call<float>& call) {
    code.include("anther/kernels/broadcast.hpp");
    code.call("where_forward<float>", code.output(), code.integers(0), code.input(1), code.input(2),
              call.attributes<kernels::BroadcastDims>());
  });
  forms.add_named(scale_op_name, [](CodeBuilder& code, const Call<float>& call) {
    code.include("anther/kernels/elementwise.hpp");
    code.call("scale<float>", code.output(), "nullptr", code.input(0),
              static_cast<float>(call.attributes<double>()), call.output_shape().numel());
  });
  forms.add_named(bf16_floats_op_name, [](CodeBuilder& code, const Call<float>& call) {
    code.call("bf16_kernels<float>().widen", code.output(), code.bf16_input(),
              call.output_shape().numel());
  });
  forms.add_named(gelu_op_name, [](CodeBuilder& code, const Call<float>& call) {
    const std::int64_t columns = call.output_shape().back();
    const std::string count = detail::text_of("count * ", columns);
    code.include("anther/kernels/gelu.hpp");
    if (!call.has_bf16_rows()) {
      code.call_rows("gelu_forward<float>", "y",
                     detail::text_of(code.input(0), " + first * ", columns), count);
      return;
    }
    const std::string x = detail::text_of(code.bf16_input(), " + first * ", columns);
    code.bf16_rows(detail::text_of("bf16_kernels<float>().gelu_forward(y, ", x, ", ", count, ")"));
    code.include("anther/kernels/mixed_maps.hpp");
    code.rows(detail::text_of("gelu_of_map<float>(y, ", x, ", ", count, ")"));
  });
}

}  // namespace anther::inline v0_1::exports
