// The bodies of loss.hpp. A formula has the value of an element, its slope by x, and by the target.

template <class T, Loss loss>
struct LossFormula;

template <class T>
struct LossFormula<T, Loss::mse> {
  static ANTHER_INLINE Vec<T> value(const Vec<T>& x, const Vec<T>& t, const Vec<T>&,
                                    const Vec<T>&) {
    return (x - t) * (x - t);
  }
  static ANTHER_INLINE Vec<T> slope(const Vec<T>& x, const Vec<T>& t, const Vec<T>&,
                                    const Vec<T>&) {
    return (x - t) + (x - t);
  }
  static ANTHER_INLINE Vec<T> target_slope(const Vec<T>& x, const Vec<T>& t, const Vec<T>& w,
                                           const Vec<T>& parameter) {
    return slope(t, x, w, parameter);
  }
};

template <class T>
struct LossFormula<T, Loss::l1> {
  static ANTHER_INLINE Vec<T> value(const Vec<T>& x, const Vec<T>& t, const Vec<T>&,
                                    const Vec<T>&) {
    return abs(x - t);
  }
  static ANTHER_INLINE Vec<T> slope(const Vec<T>& x, const Vec<T>& t, const Vec<T>&,
                                    const Vec<T>&) {
    const Vec<T> zero = Vec<T>::zero(), one = Vec<T>::broadcast(T(1));
    return select_less(t, x, one, select_less(x, t, zero - one, zero));
  }
  static ANTHER_INLINE Vec<T> target_slope(const Vec<T>& x, const Vec<T>& t, const Vec<T>& w,
                                           const Vec<T>& parameter) {
    return slope(t, x, w, parameter);
  }
};

// min and max have what may be NaN second, and then are NaN.
template <class T>
struct LossFormula<T, Loss::huber> {
  static ANTHER_INLINE Vec<T> value(const Vec<T>& x, const Vec<T>& t, const Vec<T>&,
                                    const Vec<T>& delta) {
    const Vec<T> distance = abs(x - t), inner = min(delta, distance);
    return inner * fma(Vec<T>::broadcast(T(-0.5)), inner, distance);
  }
  static ANTHER_INLINE Vec<T> slope(const Vec<T>& x, const Vec<T>& t, const Vec<T>&,
                                    const Vec<T>& delta) {
    return min(delta, max(Vec<T>::zero() - delta, x - t));
  }
  static ANTHER_INLINE Vec<T> target_slope(const Vec<T>& x, const Vec<T>& t, const Vec<T>& w,
                                           const Vec<T>& delta) {
    return slope(t, x, w, delta);
  }
};

template <class T>
struct LossFormula<T, Loss::bce> {
  // e^-|x|
  static ANTHER_INLINE Vec<T> power(const Vec<T>& x) {
    return exp2(Vec<T>::zero() - abs(x), Vec<T>::broadcast(log2_e<T>));
  }
  static ANTHER_INLINE Vec<T> value(const Vec<T>& x, const Vec<T>& t, const Vec<T>& w,
                                    const Vec<T>&) {
    const Vec<T> zero = Vec<T>::zero(), rest = log1p(power(x));
    const Vec<T> negative = max(zero, zero - x) + rest, positive = max(zero, x) + rest;
    return fma(w * t, negative, (Vec<T>::broadcast(T(1)) - t) * positive);
  }
  static ANTHER_INLINE Vec<T> slope(const Vec<T>& x, const Vec<T>& t, const Vec<T>& w,
                                    const Vec<T>&) {
    const Vec<T> zero = Vec<T>::zero(), one = Vec<T>::broadcast(T(1));
    const Vec<T> z = power(x), more = one / (one + z), less = z * more;
    const Vec<T> sigmoid = select_less(x, zero, less, more);
    const Vec<T> against = select_less(x, zero, more, less);  // 1 - sigmoid
    return fma(zero - w * t, against, (one - t) * sigmoid);
  }
  static ANTHER_INLINE Vec<T> target_slope(const Vec<T>& x, const Vec<T>&, const Vec<T>& w,
                                           const Vec<T>&) {
    const Vec<T> zero = Vec<T>::zero(), rest = log1p(power(x));
    return w * (max(zero, zero - x) + rest) - (max(zero, x) + rest);
  }
};

template <class T>
struct LossFormula<T, Loss::kl> {
  // 0 where t is, and a NaN where it is negative.
  static ANTHER_INLINE Vec<T> log_target(const Vec<T>& t) {
    const Vec<T> zero = Vec<T>::zero(), logarithm = log(t);
    return select_less(zero, t, logarithm, select_less(t, zero, logarithm, zero));
  }
  static ANTHER_INLINE Vec<T> value(const Vec<T>& x, const Vec<T>& t, const Vec<T>&,
                                    const Vec<T>&) {
    return t * (log_target(t) - x);
  }
  static ANTHER_INLINE Vec<T> slope(const Vec<T>&, const Vec<T>& t, const Vec<T>&, const Vec<T>&) {
    return Vec<T>::zero() - t;
  }
  static ANTHER_INLINE Vec<T> target_slope(const Vec<T>& x, const Vec<T>& t, const Vec<T>&,
                                           const Vec<T>&) {
    return (log_target(t) - x) + Vec<T>::broadcast(T(1));
  }
};

template <class T>
struct LossFormula<T, Loss::kl_log> {
  static ANTHER_INLINE Vec<T> value(const Vec<T>& x, const Vec<T>& t, const Vec<T>&,
                                    const Vec<T>&) {
    return exp(t) * (t - x);
  }
  static ANTHER_INLINE Vec<T> slope(const Vec<T>&, const Vec<T>& t, const Vec<T>&, const Vec<T>&) {
    return Vec<T>::zero() - exp(t);
  }
  static ANTHER_INLINE Vec<T> target_slope(const Vec<T>& x, const Vec<T>& t, const Vec<T>&,
                                           const Vec<T>&) {
    return exp(t) * ((t - x) + Vec<T>::broadcast(T(1)));
  }
};

// One vector of what a loss reads, of which `left` elements exist.
template <class T>
struct LossVectors {
  Vec<T> x, t, w;

  ANTHER_INLINE LossVectors(const LossOperands<T>& o, std::int64_t i, std::int64_t left)
      : x(Vec<T>::load_partial(o.x + i, left)),
        t(Vec<T>::load_partial(o.t + i, left)),
        w(o.weight ? Vec<T>::load_partial(o.weight + i, left) : Vec<T>::broadcast(T(1))) {}
};

// The sums of 1,024 elements are added in double.
template <class T, Loss loss>
T loss_sum(const LossOperands<T>& o, T parameter, std::int64_t count) {
  constexpr std::int64_t lanes = Vec<T>::lanes, part = 1024;
  const Vec<T> p = Vec<T>::broadcast(parameter);
  double total = 0;
  for (std::int64_t first = 0; first < count; first += part) {
    const std::int64_t end = count - first < part ? count : first + part;
    Vec<T> some = Vec<T>::zero();
    std::int64_t i = first;
    for (; i + lanes <= end; i += lanes) {
      const LossVectors<T> v(o, i, lanes);
      some = some + LossFormula<T, loss>::value(v.x, v.t, v.w, p);
    }
    if (i < end) {  // zeros may have a loss
      T rest[lanes];
      const LossVectors<T> v(o, i, end - i);
      LossFormula<T, loss>::value(v.x, v.t, v.w, p).store(rest);
      some = some + Vec<T>::load_partial(rest, end - i);
    }
    total += static_cast<double>(sum(some));
  }
  return static_cast<T>(total);
}

template <class T, Loss loss>
void loss_values(T* y, const LossOperands<T>& o, T parameter, T scale, std::int64_t count) {
  const Vec<T> p = Vec<T>::broadcast(parameter), factor = Vec<T>::broadcast(scale);
  for (std::int64_t i = 0; i < count; i += Vec<T>::lanes) {
    const LossVectors<T> v(o, i, count - i);
    (factor * LossFormula<T, loss>::value(v.x, v.t, v.w, p)).store_partial(y + i, count - i);
  }
}

template <class T, Loss loss>
void loss_backward(const LossGradient<T>& g, const LossOperands<T>& o, T parameter,
                   std::int64_t count) {
  const LossGradient<T> to = g;
  const Vec<T> p = Vec<T>::broadcast(parameter), scale = Vec<T>::broadcast(g.scale);
  for (std::int64_t i = 0; i < count; i += Vec<T>::lanes) {
    const std::int64_t left = count - i;
    const LossVectors<T> v(o, i, left);
    const Vec<T> slope = to.of_target ? LossFormula<T, loss>::target_slope(v.x, v.t, v.w, p)
                                      : LossFormula<T, loss>::slope(v.x, v.t, v.w, p);
    Vec<T> value = slope * (to.dy ? scale * Vec<T>::load_partial(to.dy + i, left) : scale);
    if (to.add) value = Vec<T>::load_partial(to.add + i, left) + value;
    value.store_partial(to.to + i, left);
  }
}
