// The forms of reductions in C++.
#pragma once

#include <string>

#include "anther/core/once.hpp"
#include "anther/export/code_builder.hpp"
#include "anther/ops/reduce.hpp"

namespace anther::inline v0_1::exports {

ANTHER_ONCE void reduce_cpp(CodeBuilder& code, const Call<float>& call, const char* reduction) {
  const auto& d = call.attributes<ReduceAttributes>().dims;
  code.include("anther/kernels/reduce.hpp");
  code.call(detail::text_of("reduce<float, Reduction::", reduction, ">"), code.output(),
            code.input(0), code.workspace(kernels::reduce_workspace(d)), d);
}

ANTHER_ONCE void add_reduce_cpp(CppForms& forms) {
  forms.add_named(sum_op_name, [](CodeBuilder& code, const Call<float>& call) {
    reduce_cpp(code, call, "sum");
  });
  forms.add_named(mean_op_name, [](CodeBuilder& code, const Call<float>& call) {
    const auto& a = call.attributes<ReduceAttributes>();
    reduce_cpp(code, call, "sum");
    code.include("anther/kernels/elementwise.hpp");
    code.call("scale<float>", code.output(), "nullptr", code.output(), static_cast<float>(a.factor),
              a.dims.results());
  });
  forms.add_named(amax_op_name, [](CodeBuilder& code, const Call<float>& call) {
    reduce_cpp(code, call, "max");
  });
  forms.add_named(amin_op_name, [](CodeBuilder& code, const Call<float>& call) {
    reduce_cpp(code, call, "min");
  });
  forms.add_named(norm_op_name, [](CodeBuilder& code, const Call<float>& call) {
    reduce_cpp(code, call, "sum_of_squares");
    code.include("anther/kernels/pointwise.hpp");
    code.call("pointwise_forward<float, Pointwise::sqrt>", code.output(), code.output(),
              call.output_shape().numel());
  });
}

}  // namespace anther::inline v0_1::exports
