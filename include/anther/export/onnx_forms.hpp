// The forms of ops in ONNX: a table that has all ops of the engine. A user adds an op by one line,
// before the export:
//
//   exports::add_onnx_form(square_op<float>, [](auto& graph, const auto&) {
//     const std::string x = graph.input(0);
//     graph.output(graph.node("Mul", {x, x}));
//   });
//
// The table belongs to the program and is made when it is first asked for, so that a row may also
// be added before main begins.
#pragma once

#include <type_traits>

#include "anther/export/graph_builder.hpp"
#include "anther/export/onnx_ops/attention.hpp"
#include "anther/export/onnx_ops/convolution.hpp"
#include "anther/export/onnx_ops/elementwise.hpp"
#include "anther/export/onnx_ops/indices.hpp"
#include "anther/export/onnx_ops/linear.hpp"
#include "anther/export/onnx_ops/matmul.hpp"
#include "anther/export/onnx_ops/norm.hpp"
#include "anther/export/onnx_ops/pointwise.hpp"
#include "anther/export/onnx_ops/pool.hpp"
#include "anther/export/onnx_ops/recurrent.hpp"
#include "anther/export/onnx_ops/reduce.hpp"
#include "anther/export/onnx_ops/shape.hpp"
#include "anther/export/op_forms.hpp"

namespace anther::inline v0_1::exports {

// The program's table, which begins with the engine's ops.
template <class T>
OnnxForms<T>& onnx_forms() {
  struct Table : OnnxForms<T> {
    Table() {
      add_attention_onnx(*this);
      add_convolution_onnx(*this);
      add_elementwise_onnx(*this);
      add_indices_onnx(*this);
      add_linear_onnx(*this);
      add_matmul_onnx(*this);
      add_norm_onnx(*this);
      add_pointwise_onnx(*this);
      add_pool_onnx(*this);
      add_recurrent_onnx(*this);
      add_reduce_onnx(*this);
      add_shape_onnx(*this);
    }
  };
  static Table table;
  return table;
}

// Says how calls of an op are written in ONNX. The op is a variable that lasts as long as the
// program. A second form replaces the first.
template <class T>
void add_onnx_form(const Op<T>& op, std::type_identity_t<OnnxForm<T>> form) {
  onnx_forms<T>().add(op, form);
}
template <class T>
void add_onnx_form(const Op<T>&& op, std::type_identity_t<OnnxForm<T>> form) = delete;

// The form of an op; null if it has none.
template <class T>
OnnxForm<T> onnx_form(const Op<T>& op) {
  return onnx_forms<T>().find(op);
}

}  // namespace anther::inline v0_1::exports
