// The form of a fully connected layer in C++.
#pragma once

#include <string>

#include "anther/core/once.hpp"
#include "anther/export/code_builder.hpp"
#include "anther/ops/linear.hpp"

namespace anther::inline v0_1::exports {

ANTHER_ONCE void add_linear_cpp(CppForms& forms) {
  forms.add_named(linear_op_name, [](CodeBuilder& code, const Call<float>& call) {
    const std::int64_t rows = call.input_shape(0).rows(), in = call.input_shape(0).back();
    const std::int64_t out = call.output_shape().back();
    const kernels::GemmDims d = kernels::dense_gemm(rows, out, in);
    const std::string packed = code.packed(1, linear_pack(out, in)), bias = code.input(2);
    code.include("anther/kernels/gemm.hpp");
    if (call.lazy_input())
      code.call("gemm_of_rows<float>", code.output(), code.add(), code.input_rows(), packed, bias,
                code.workspace(kernels::computed_rows(rows, 1) * in), d, code.apply_rows());
    else
      code.call("gemm_and<float>", code.output(), code.add(), code.input(0), packed, bias, d,
                code.apply_rows());
  });
}

}  // namespace anther::inline v0_1::exports
