// What vec_math_test.cpp runs for every instruction set.

template <class T>
void math_test(T* power_of_2, T* scaled_power, T* root, T* greater, T* lesser, const T* x,
               const T* y, std::int64_t count) {
  for (std::int64_t i = 0; i < count; i += Vec<T>::lanes) {
    const Vec<T> a = Vec<T>::load_partial(x + i, count - i);
    const Vec<T> b = Vec<T>::load_partial(y + i, count - i);
    exp2(a, Vec<T>::broadcast(T(1))).store_partial(power_of_2 + i, count - i);
    exp2(a, Vec<T>::broadcast(T(0.72))).store_partial(scaled_power + i, count - i);
    sqrt(abs(a)).store_partial(root + i, count - i);
    max(a, b).store_partial(greater + i, count - i);
    min(a, b).store_partial(lesser + i, count - i);
  }
}

// y = function(x).
template <class T>
void function_test(VecFunction function, T* y, const T* x, std::int64_t count) {
  for (std::int64_t i = 0; i < count; i += Vec<T>::lanes) {
    const Vec<T> a = Vec<T>::load_partial(x + i, count - i);
    Vec<T> value = a;
    switch (function) {
      case VecFunction::exp:
        value = exp(a);
        break;
      case VecFunction::expm1:
        value = expm1(a);
        break;
      case VecFunction::log:
        value = log(a);
        break;
      case VecFunction::log1p:
        value = log1p(a);
        break;
      case VecFunction::tanh:
        value = tanh(a);
        break;
      case VecFunction::logistic:
        value = logistic(a);
        break;
      case VecFunction::log1p_exp:
        value = log1p_exp(a);
        break;
      case VecFunction::power:
        value = power(a, T(2.7));
        break;
    }
    value.store_partial(y + i, count - i);
  }
}
