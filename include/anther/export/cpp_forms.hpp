// The forms of ops in C++: a table that has all ops of the engine. A user adds an op by one line,
// before the export:
//
//   exports::add_cpp_form(square_op<float>, [](auto& code, const auto& call) {
//     code.include("square.hpp");
//     code.call("square_forward<float>", code.output(), code.input(0),
//               call.output_shape().numel());
//   });
//
// The table belongs to the program and is made when it is first asked for, so that a row may also
// be added before main begins.
#pragma once

#include "anther/core/once.hpp"
#include "anther/export/code_builder.hpp"
#include "anther/export/cpp_ops/attention.hpp"
#include "anther/export/cpp_ops/convolution.hpp"
#include "anther/export/cpp_ops/elementwise.hpp"
#include "anther/export/cpp_ops/indices.hpp"
#include "anther/export/cpp_ops/linear.hpp"
#include "anther/export/cpp_ops/matmul.hpp"
#include "anther/export/cpp_ops/norm.hpp"
#include "anther/export/cpp_ops/pointwise.hpp"
#include "anther/export/cpp_ops/pool.hpp"
#include "anther/export/cpp_ops/recurrent.hpp"
#include "anther/export/cpp_ops/reduce.hpp"
#include "anther/export/cpp_ops/shape.hpp"
#include "anther/export/op_forms.hpp"

namespace anther::inline v0_1::exports {

// The program's table, which begins with the engine's ops.
ANTHER_ONCE CppForms& cpp_forms() {
  struct Table : CppForms {
    Table() {
      add_attention_cpp(*this);
      add_convolution_cpp(*this);
      add_elementwise_cpp(*this);
      add_indices_cpp(*this);
      add_linear_cpp(*this);
      add_matmul_cpp(*this);
      add_norm_cpp(*this);
      add_pointwise_cpp(*this);
      add_pool_cpp(*this);
      add_recurrent_cpp(*this);
      add_reduce_cpp(*this);
      add_shape_cpp(*this);
    }
  };
  static Table table;
  return table;
}

// Says how calls of an op are written in C++. The op is a variable that lasts as long as the
// program. A second form replaces the first.
inline void add_cpp_form(const Op<float>& op, CppForm form) {
  cpp_forms().add(op, form);
}
void add_cpp_form(const Op<float>&& op, CppForm form) = delete;

// The form of an op; null if it has none.
inline CppForm cpp_form(const Op<float>& op) {
  return cpp_forms().find(op);
}

}  // namespace anther::inline v0_1::exports
