// The forms of attention in C++.
#pragma once

#include <string>

#include "anther/core/once.hpp"
#include "anther/export/code_builder.hpp"
#include "anther/ops/attention.hpp"

namespace anther::inline v0_1::exports {

// The call of attention_forward on q, k and v. The probabilities are not kept. mask: an
// AttentionMask<float>.
ANTHER_ONCE void attention_cpp(CodeBuilder& code, const Call<float>& call, const std::string& q,
                               const std::string& k, const std::string& v,
                               const kernels::AttentionDims& dims, const std::string& mask = "{}") {
  const kernels::AttentionDims d = attention_dims(call, dims);
  const std::string y = d.o_bf16 != 0 ? code.output() : code.float_output(call);
  if (d.bf16 != 0) {
    code.include("anther/kernels/attention_bf16.hpp");
    code.call("attention_bf16_forward<float>",
              detail::text_of("{", y, ", nullptr, ", q, ", ", k, ", ", v, "}"),
              code.workspace(kernels::attention_workspace<float>(d, 1)), d, mask);
    if (d.o_bf16 == 0) code.round_output(call, y);
    return;
  }
  // Room for any instruction set: each pads to vectors of at most 16 elements.
  kernels::AttentionDims widest = d;
  widest.keys = (d.keys + 15) / 16 * 16;
  widest.head_dim = (d.head_dim + 15) / 16 * 16;
  code.include("anther/kernels/attention.hpp");
  code.call("attention_forward<float>", y, "nullptr", q, k, v,
            code.workspace(kernels::attention_workspace<float>(widest, 1)), d, mask);
}

ANTHER_ONCE void masked_attention_cpp(CodeBuilder& code, const Call<float>& call) {
  const auto& a = call.attributes<MaskedAttentionAttributes>();
  const std::int64_t* strides = a.mask_strides;
  const std::string mask = detail::text_of(
      "{",
      code_list(code.input(3), code.integers(4), strides[0], strides[1], strides[2], strides[3]),
      a.causal ? ", true}" : ", false}");
  const std::string q = code.input(0);
  const auto part = [&](int i) {
    return call.has_input(i) ? code.input(i) : detail::text_of(q, " + ", i * a.dims.o_stride());
  };
  attention_cpp(code, call, q, part(1), part(2), a.dims, mask);
}

ANTHER_ONCE void add_attention_cpp(CppForms& forms) {
  forms.add_named(masked_attention_op_name, masked_attention_cpp);
  forms.add_named(self_attention_op_name, [](CodeBuilder& code, const Call<float>& call) {
    const auto& d = call.attributes<kernels::AttentionDims>();
    const std::string qkv = code.input(0);
    attention_cpp(code, call, qkv, detail::text_of(qkv, " + ", d.o_stride()),
                  detail::text_of(qkv, " + ", 2 * d.o_stride()), d);
  });
  forms.add_named(scaled_dot_product_attention_op_name,
                  [](CodeBuilder& code, const Call<float>& call) {
                    attention_cpp(code, call, code.input(0), code.input(1), code.input(2),
                                  call.attributes<kernels::AttentionDims>());
                  });
}

}  // namespace anther::inline v0_1::exports
