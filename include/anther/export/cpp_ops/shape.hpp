// The forms of ops that cut and join values in C++, and of softmax. Views need none.
#pragma once

#include <string>

#include "anther/core/once.hpp"
#include "anther/export/code_builder.hpp"
#include "anther/ops/permute.hpp"
#include "anther/ops/select.hpp"
#include "anther/ops/shape.hpp"
#include "anther/ops/softmax.hpp"

namespace anther::inline v0_1::exports {

// Copies blocks from element `from` on of x to element `to` on of y.
ANTHER_ONCE void copy_blocks_cpp(CodeBuilder& code, const std::string& y, std::int64_t to,
                                 const std::string& x, std::int64_t from,
                                 const kernels::BlockDims& dims) {
  code.include("anther/kernels/blocks.hpp");
  code.call("copy_blocks<float>", detail::text_of(y, " + ", to), detail::text_of(x, " + ", from),
            dims);
}

ANTHER_ONCE void add_shape_cpp(CppForms& forms) {
  forms.add_named(narrow_op_name, [](CodeBuilder& code, const Call<float>& call) {
    const auto& a = call.attributes<NarrowAttributes>();
    copy_blocks_cpp(code, code.output(), 0, code.input(0), a.start * a.parts.inner, a.dims());
  });
  forms.add_named(permute_op_name, [](CodeBuilder& code, const Call<float>& call) {
    code.include("anther/kernels/permute.hpp");
    code.call("permute<float>", code.output(), "nullptr", code.input(0),
              call.attributes<PermuteAttributes>().forward);
  });
  forms.add_named(pad_op_name, [](CodeBuilder& code, const Call<float>& call) {
    const auto& a = call.attributes<SelectAttributes>();
    code.include("anther/kernels/select.hpp");
    std::string index;
    for (std::int64_t i = 0; i < a.dims.count; ++i)
      index += detail::text_of(i > 0 ? ", " : "", a.index[i]);
    code.statement(detail::text_of(
        "{ static constexpr std::int32_t index[] = {", index, "}; select_forward<float>(",
        code_list(code.output(), code.input(0), "index", static_cast<float>(a.fill), a.dims),
        "); }"));
  });
  forms.add_named(cat_op_name, [](CodeBuilder& code, const Call<float>& call) {
    const auto& whole = call.attributes<AxisParts>();
    std::int64_t at = 0;
    for (int i = 0; i < call.inputs(); ++i) {
      const std::int64_t size = call.input_shape(i)[whole.axis] * whole.inner;
      copy_blocks_cpp(code, code.output(), at, code.input(i), 0,
                      {.count = whole.outer,
                       .size = size,
                       .to_stride = whole.extent * whole.inner,
                       .from_stride = size});
      at += size;
    }
  });
  forms.add_named(split_op_name, [](CodeBuilder& code, const Call<float>& call) {
    const auto& whole = call.attributes<AxisParts>();
    std::int64_t at = 0;
    for (int i = 0; i < call.results(); ++i) {
      const std::int64_t size = call.output_shape(i)[whole.axis] * whole.inner;
      copy_blocks_cpp(code, code.output(i), 0, code.input(0), at,
                      {.count = whole.outer,
                       .size = size,
                       .to_stride = size,
                       .from_stride = whole.extent * whole.inner});
      at += size;
    }
  });
  forms.add_named(softmax_axis_op_name, [](CodeBuilder& code, const Call<float>& call) {
    code.include("anther/kernels/softmax_axis.hpp");
    code.call("softmax_axis_forward<float>", code.output(), code.input(0),
              call.attributes<SoftmaxAxisAttributes>().dims);
  });
  forms.add_named(log_softmax_op_name, [](CodeBuilder& code, const Call<float>& call) {
    code.include("anther/kernels/softmax_axis.hpp");
    code.call("log_softmax_forward<float>", code.output(), code.input(0),
              call.attributes<SoftmaxAxisAttributes>().dims);
  });
  forms.add_named(softmax_op_name, [](CodeBuilder& code, const Call<float>& call) {
    code.include("anther/kernels/softmax.hpp");
    code.call("softmax_forward<float>", code.output(), code.input(0),
              call.attributes<kernels::SoftmaxDims>());
  });
}

}  // namespace anther::inline v0_1::exports
