// a + b, of one shape, and s x with a number s. Where a or b is the result of the op just before,
// which can add in its own pass, the sum costs no pass of its own: x + conv(x). Backward keeps
// nothing; that of a sum copies nothing.
#pragma once

#include "anther/autograd/tape.hpp"
#include "anther/export/code_builder.hpp"
#include "anther/export/graph_builder.hpp"
#include "anther/kernels/elementwise.hpp"

namespace anther::inline v0_1 {

template <class T>
inline constexpr Op<T> add_op = {
    .name = "add",
    .forward =
        [](Call<T>& call) {
          kernels::add<T>(call.output(), call.input(0), call.input(1), call.output_shape().numel());
        },
    .backward =
        [](Call<T>& call) {
          call.pass_gradient(0);
          call.pass_gradient(1);
        },
    .is_addition = true,
    .onnx =
        [](exports::GraphBuilder& graph, const Call<T>&) {
          graph.output(graph.node("Add", {graph.input(0), graph.input(1)}));
        },
    .embed =
        [](exports::CodeBuilder& code, const Call<T>& call) {
          code.include("anther/kernels/elementwise.hpp");
          code.call("add<float>", code.output(), code.input(0), code.input(1),
                    call.output_shape().numel());
        },
};

template <class T>
Variable<T> operator+(const Variable<T>& a, const Variable<T>& b) {
  Tape<T>& tape = a.tape();
  tape.check(a.shape() == b.shape(), "add: expected two tensors of one shape, got ", a.shape(),
             " and ", b.shape());
  return tape.apply(add_op<T>, 0, {a, b}, a.shape());
}

template <class T>
inline constexpr Op<T> scale_op = {
    .name = "scale",
    .forward =
        [](Call<T>& call) {
          kernels::scale<T>(call.output(), nullptr, call.input(0),
                            static_cast<T>(call.template attributes<double>()),
                            call.output_shape().numel());
        },
    .backward =
        [](Call<T>& call) {
          if (const auto dx = call.input_gradient(0))
            kernels::scale(dx.to, dx.add, call.output_gradient(),
                           static_cast<T>(call.template attributes<double>()),
                           call.output_shape().numel());
        },
    .onnx =
        [](exports::GraphBuilder& graph, const Call<T>& call) {
          const double factor = call.template attributes<double>();
          graph.output(graph.node("Mul", {graph.input(0), graph.constant({}, {factor})}));
        },
    .embed =
        [](exports::CodeBuilder& code, const Call<T>& call) {
          code.include("anther/kernels/elementwise.hpp");
          code.call("scale<float>", code.output(), "nullptr", code.input(0),
                    exports::code_of(call.template attributes<double>()) + "f",
                    call.output_shape().numel());
        },
};

template <class T>
Variable<T> operator*(const Variable<T>& x, double factor) {
  return x.tape().apply(scale_op<T>, factor, {x}, x.shape());
}
template <class T>
Variable<T> operator*(double factor, const Variable<T>& x) {
  return x * factor;
}

}  // namespace anther::inline v0_1
