// The element-wise ops of one input: a row of this table is the whole op. Whoever includes the
// table defines what a row becomes: a kernel (pointwise.inl), the function that users call
// (ops/pointwise.hpp), ONNX (export/onnx_ops/pointwise.hpp), a name in the tests.
//
//   ANTHER_POINTWISE(name, kept, value, derivative, onnx)
//   ANTHER_POINTWISE_1(name, a, default, kept, value, derivative, onnx)
//   ANTHER_POINTWISE_2(name, a, default, b, default, kept, value, derivative, onnx)
//
// name: PyTorch's. a, b: the op's numbers by name, with their defaults, which may be empty. value:
// the result for a vector x. derivative: that of the result by x, as a function of what backward
// reads, which `kept` names: x, or the result y. onnx: the value as nodes of a graph, for the value
// that is called x. Vectors know + - * / among each other and with a number, and the functions of
// vec.inl, vec_math.inl and vec_functions.inl; numbers are of the type T.
//
// Where a function has a kink its derivative is PyTorch's (1.13; docs/numerics.md names what 2.15
// has otherwise). NaN stays NaN.

// clang-format off

ANTHER_POINTWISE(neg, x, -x, Vec<T>::broadcast(T(-1)), graph.node("Neg", {x}))
// x + number
ANTHER_POINTWISE_1(shift, number, , x, x + Vec<T>::broadcast(number), Vec<T>::broadcast(T(1)), graph.node("Add", {x, graph.constant({}, {number})}))
ANTHER_POINTWISE(abs, x,
    abs(x),
    select_above(x, 0, Vec<T>::broadcast(T(1)), select_less(x, Vec<T>::zero(), Vec<T>::broadcast(T(-1)), Vec<T>::zero())),
    graph.node("Abs", {x}))
ANTHER_POINTWISE(square, x, x * x, 2 * x, graph.node("Mul", {x, x}))
ANTHER_POINTWISE(reciprocal, y, 1 / x, -(y * y), graph.node("Reciprocal", {x}))
ANTHER_POINTWISE(sqrt, y, sqrt(x), T(0.5) / y, graph.node("Sqrt", {x}))
ANTHER_POINTWISE(rsqrt, y, 1 / sqrt(x), T(-0.5) * y * y * y, graph.node("Reciprocal", {graph.node("Sqrt", {x})}))
ANTHER_POINTWISE(exp, y, exp(x), y, graph.node("Exp", {x}))
ANTHER_POINTWISE(log, x, log(x), 1 / x, graph.node("Log", {x}))
// x^exponent
ANTHER_POINTWISE_1(pow, exponent, , x,
    power(x, exponent),
    exponent == T(0) ? Vec<T>::zero() : exponent * power(x, exponent - T(1)),
    graph.node("Pow", {x, graph.constant({}, {exponent})}))
// x, at least min and at most max
ANTHER_POINTWISE_2(clamp, min_value, = -std::numeric_limits<double>::infinity(), max_value, = std::numeric_limits<double>::infinity(), x,
    min(max_value, max(min_value, x)),
    select_less(x, Vec<T>::broadcast(min_value), Vec<T>::zero(), select_up_to(x, max_value, Vec<T>::broadcast(T(1)), Vec<T>::zero())),
    graph.node("Clip", {x, graph.constant({}, {min_value}), graph.constant({}, {max_value})}))

// max(x, 0)
ANTHER_POINTWISE(relu, x,
    max(0, x),
    select_up_to(x, 0, Vec<T>::zero(), Vec<T>::broadcast(T(1))),
    graph.node("Relu", {x}))
// min(max(x, 0), 6) (Krizhevsky 2010)
ANTHER_POINTWISE(relu6, x,
    min(6, max(0, x)),
    is_between(x, 0, 6),
    graph.node("Clip", {x, graph.constant({}, {0}), graph.constant({}, {6})}))
// x for x > 0, negative_slope x below (Maas et al. 2013)
ANTHER_POINTWISE_1(leaky_relu, negative_slope, = 0.01, x,
    select_above(x, 0, x, negative_slope * x),
    select_above(x, 0, Vec<T>::broadcast(T(1)), Vec<T>::broadcast(negative_slope)),
    graph.node("LeakyRelu", {x}, {{"alpha", negative_slope}}))
// x for x > 0, alpha (e^x - 1) below (Clevert et al. 2016)
ANTHER_POINTWISE_1(elu, alpha, = 1.0, x,
    select_above(x, 0, x, alpha * expm1(min(0, x))),
    select_above(x, 0, Vec<T>::broadcast(T(1)), alpha * exp(min(0, x))),
    graph.node("Elu", {x}, {{"alpha", alpha}}))
// scale x for x > 0, scale alpha (e^x - 1) below, with the numbers that keep mean 0 and variance 1
// (Klambauer et al. 2017)
ANTHER_POINTWISE(selu, x,
    T(1.0507009873554805) * select_above(x, 0, x, T(1.6732632423543772) * expm1(min(0, x))),
    T(1.0507009873554805) * select_above(x, 0, Vec<T>::broadcast(T(1)), T(1.6732632423543772) * exp(min(0, x))),
    graph.node("Selu", {x}))
// 1 / (1 + e^-x)
ANTHER_POINTWISE(sigmoid, y, logistic(x), y * (1 - y), graph.node("Sigmoid", {x}))
ANTHER_POINTWISE(tanh, y, tanh(x), 1 - y * y, graph.node("Tanh", {x}))
// x / (1 + e^-x), also called swish (Hendrycks and Gimpel 2016)
ANTHER_POINTWISE(silu, x,
    x * logistic(x),
    logistic(x) * (1 + x * (1 - logistic(x))),
    graph.node("Mul", {x, graph.node("Sigmoid", {x})}))
// min(max(x / 6 + 1 / 2, 0), 1) (Howard et al. 2019)
ANTHER_POINTWISE(hardsigmoid, y,
    min(1, max(0, T(1.0 / 6) * x + Vec<T>::broadcast(T(0.5)))),
    T(1.0 / 6) * is_between(y, 0, 1),
    graph.node("HardSigmoid", {x}, {{"alpha", 1.0 / 6}, {"beta", 0.5}}))
// x hardsigmoid(x) (Howard et al. 2019)
ANTHER_POINTWISE(hardswish, x,
    x * min(1, max(0, T(1.0 / 6) * x + Vec<T>::broadcast(T(0.5)))),
    select_less(x, Vec<T>::broadcast(T(-3)), Vec<T>::zero(),
                select_above(x, 3, Vec<T>::broadcast(T(1)), T(1.0 / 3) * x + Vec<T>::broadcast(T(0.5)))),
    graph.node("HardSwish", {x}))
// ln(1 + e^(beta x)) / beta; x itself where beta x > threshold
ANTHER_POINTWISE_2(softplus, beta, = 1.0, threshold, = 20.0, x,
    select_above(beta * x, threshold, x, (1 / beta) * log1p_exp(beta * x)),
    select_above(beta * x, threshold, Vec<T>::broadcast(T(1)), logistic(beta * x)),
    softplus_nodes(graph, x, beta, threshold))
// x tanh(ln(1 + e^x)) (Misra 2020)
ANTHER_POINTWISE(mish, x,
    x * tanh(log1p_exp(x)),
    tanh(log1p_exp(x)) + x * logistic(x) * (1 - tanh(log1p_exp(x)) * tanh(log1p_exp(x))),
    graph.node("Mul", {x, graph.node("Tanh", {graph.node("Softplus", {x})})}))
// x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2: GELU without the error function
// (Hendrycks and Gimpel 2016)
ANTHER_POINTWISE(gelu_tanh, x,
    x * logistic(gelu_argument(x)),
    gelu_tanh_derivative(x),
    gelu_tanh_nodes(graph, x))

// clang-format on

#undef ANTHER_POINTWISE
#undef ANTHER_POINTWISE_1
#undef ANTHER_POINTWISE_2
