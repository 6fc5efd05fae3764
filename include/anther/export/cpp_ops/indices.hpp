// The forms of ops that read or make indices in C++.
#pragma once

#include <string>

#include "anther/core/once.hpp"
#include "anther/export/code_builder.hpp"
#include "anther/ops/embedding.hpp"
#include "anther/ops/select.hpp"
#include "anther/ops/topk.hpp"

namespace anther::inline v0_1::exports {

ANTHER_ONCE void add_indices_cpp(CppForms& forms) {
  forms.add_named(embedding_op_name, [](CodeBuilder& code, const Call<float>& call) {
    code.include("anther/kernels/embedding.hpp");
    code.call("embedding_forward<float>", code.output(), code.input(1), code.integers(0),
              call.attributes<kernels::EmbeddingDims>());
  });
  forms.add_named(index_select_op_name, [](CodeBuilder& code, const Call<float>& call) {
    code.include("anther/kernels/select.hpp");
    code.call("select_forward<float>", code.output(), code.input(0), code.integers(1), "0.0f",
              call.attributes<SelectAttributes>().dims);
  });
  forms.add_named(argmax_op_name, [](CodeBuilder& code, const Call<float>& call) {
    code.include("anther/kernels/topk.hpp");
    code.call("topk_forward<float>", "nullptr", code.output_integers(), code.input(0), "nullptr",
              call.attributes<TopkAttributes>().dims);
  });
  forms.add_named(topk_op_name, [](CodeBuilder& code, const Call<float>& call) {
    const std::string order = code.workspace(call.input_shape(0).numel());
    code.include("anther/kernels/topk.hpp");
    code.call("topk_forward<float>", code.output(), code.output_integers(1), code.input(0),
              detail::text_of("reinterpret_cast<std::int32_t*>(", order, ")"),
              call.attributes<TopkAttributes>().dims);
  });
}

}  // namespace anther::inline v0_1::exports
