// The form of a fully connected layer in C++.
#pragma once

#include <string>

#include "anther/core/once.hpp"
#include "anther/export/code_builder.hpp"
#include "anther/ops/linear.hpp"

namespace anther::inline v0_1::exports {

ANTHER_ONCE void add_linear_cpp(CppForms& forms) {
  forms.add_named(linear_op_name, [](CodeBuilder& code, const Call<float>& call) {
    const kernels::GemmDims d = linear_dims(call);
    const std::int64_t rows = d.rows, in = d.depth, out = d.columns;
    const std::string y = d.y_bf16 != 0 ? code.output() : code.float_output(call);
    const std::string packed = code.packed(1, linear_pack(out, in, d.bf16)), bias = code.input(2);
    code.include("anther/kernels/gemm.hpp");
    if (call.lazy_input())
      code.call("gemm_of_rows<float>", y, code.add(), code.input_rows(d.x_bf16 != 0), packed, bias,
                code.workspace(kernels::computed_rows(rows, 1, d.bf16 != 0) * in), d,
                code.apply_rows());
    else
      code.call("gemm_and<float>", y, code.add(), code.input(0), packed, bias, d,
                code.apply_rows());
    if (d.y_bf16 == 0) code.round_output(call, y);
  });
}

}  // namespace anther::inline v0_1::exports
