// The element-wise ops of two inputs, with NumPy's broadcasting. A row is the whole op, as in
// pointwise_table.inl.
//
//   ANTHER_BINARY(name, value, derivative_a, derivative_b, onnx)
//
// for vectors a and b. onnx: the operator in ONNX, which broadcasts as well.

// clang-format off

ANTHER_BINARY(add, a + b, Vec<T>::broadcast(T(1)), Vec<T>::broadcast(T(1)), "Add")
ANTHER_BINARY(sub, a - b, Vec<T>::broadcast(T(1)), Vec<T>::broadcast(T(-1)), "Sub")
ANTHER_BINARY(mul, a * b, b, a, "Mul")
ANTHER_BINARY(div, a / b, 1 / b, -(a / b) / b, "Div")
// Where both are equal, each gets half of the gradient, as in PyTorch.
ANTHER_BINARY(maximum, max_of_both(a, b), share_of_less(b, a), share_of_less(a, b), "Max")
ANTHER_BINARY(minimum, -max_of_both(-a, -b), share_of_less(a, b), share_of_less(b, a), "Min")
// a for a > 0, b a below (He et al. 2015): b has an element for each channel, or one
ANTHER_BINARY(prelu,
    select_above(a, 0, a, b * a),
    select_above(a, 0, Vec<T>::broadcast(T(1)), b),
    select_above(a, 0, Vec<T>::zero(), a),
    "PRelu")

// clang-format on

#undef ANTHER_BINARY
