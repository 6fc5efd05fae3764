// The form of a product of matrices in C++.
#pragma once

#include "anther/core/once.hpp"
#include "anther/export/code_builder.hpp"
#include "anther/ops/matmul.hpp"

namespace anther::inline v0_1::exports {

ANTHER_ONCE void add_matmul_cpp(CppForms& forms) {
  forms.add_named(matmul_op_name, [](CodeBuilder& code, const Call<float>& call) {
    const auto& d = call.attributes<kernels::MatmulDims>();
    // Room for any instruction set: each pads to vectors of at most 16 elements.
    const std::int64_t widest = (d.columns + 15) / 16 * 16;
    code.include("anther/kernels/matmul.hpp");
    code.call("matmul_forward<float>", code.output(), code.input(0), code.input(1),
              code.workspace(kernels::matmul_scratch<float>(d, widest, d.depth)), d);
  });
}

}  // namespace anther::inline v0_1::exports
