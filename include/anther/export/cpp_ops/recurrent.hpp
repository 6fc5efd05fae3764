// The forms of LSTM and GRU in C++.
#pragma once

#include <string>

#include "anther/core/once.hpp"
#include "anther/export/code_builder.hpp"
#include "anther/ops/recurrent.hpp"

namespace anther::inline v0_1::exports {

ANTHER_ONCE void recurrent_cpp(CodeBuilder& code, const Call<float>& call) {
  const auto& d = call.attributes<kernels::RecurrentDims>();
  const bool lstm = d.is_lstm != 0;
  const std::string none = "nullptr";
  code.include("anther/kernels/recurrent.hpp");
  const std::string operands = code_list(
      code.output(), code.output(lstm ? 2 : 1), lstm ? code.output(3) : none,
      lstm ? code.output(1) : none, code.input(0), code.packed(1, linear_pack(d.width(), d.hidden)),
      code.input(2), code.input(3), lstm ? code.input(4) : none);
  code.call("recurrent_forward<float>", "{" + operands + "}",
            code.workspace(kernels::recurrent_workspace(d)), d);
}

inline void add_recurrent_cpp(CppForms& forms) {
  forms.add_named(gru_op_name, recurrent_cpp);
  forms.add_named(lstm_op_name, recurrent_cpp);
}

}  // namespace anther::inline v0_1::exports
