// The bodies of optimizer.hpp: one block of a range, serially.

// One vector's worth of Adam.
template <class T>
ANTHER_INLINE void adam_vector(T* value, T* m, T* v, const T* gradient, const AdamFactors<T>& f) {
  const Vec<T> old = Vec<T>::load(value);
  const Vec<T> g = fma(Vec<T>::broadcast(f.weight_decay), old,
                       Vec<T>::broadcast(f.gradient_scale) * Vec<T>::load(gradient));
  const Vec<T> m_old = Vec<T>::load(m), v_old = Vec<T>::load(v);
  const Vec<T> m_new = fma(Vec<T>::broadcast(f.m_rate), g - m_old, m_old);
  const Vec<T> v_new = fma(Vec<T>::broadcast(f.v_rate), g * g - v_old, v_old);
  const Vec<T> root = fma(sqrt(v_new), Vec<T>::broadcast(f.root_factor), Vec<T>::broadcast(f.eps));
  m_new.store(m);
  v_new.store(v);
  fma(Vec<T>::broadcast(-f.step_size), m_new / root, Vec<T>::broadcast(f.keep) * old).store(value);
}

template <class T>
void adam_step(T* value, T* m, T* v, const T* gradient, std::int64_t count,
               const AdamFactors<T>& factors) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  const AdamFactors<T> f = factors;
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes) adam_vector(value + i, m + i, v + i, gradient + i, f);
  if (i == count) return;
  const std::int64_t left = count - i;
  T rest[4][lanes];
  Vec<T>::load_partial(value + i, left).store(rest[0]);
  Vec<T>::load_partial(m + i, left).store(rest[1]);
  Vec<T>::load_partial(v + i, left).store(rest[2]);
  Vec<T>::load_partial(gradient + i, left).store(rest[3]);
  adam_vector(rest[0], rest[1], rest[2], rest[3], f);
  Vec<T>::load(rest[0]).store_partial(value + i, left);
  Vec<T>::load(rest[1]).store_partial(m + i, left);
  Vec<T>::load(rest[2]).store_partial(v + i, left);
}

// One vector's worth of SGD; velocity may be null.
template <class T>
ANTHER_INLINE void sgd_vector(T* value, T* velocity, const T* gradient, const SgdFactors<T>& f) {
  const Vec<T> old = Vec<T>::load(value);
  Vec<T> g = fma(Vec<T>::broadcast(f.weight_decay), old,
                 Vec<T>::broadcast(f.gradient_scale) * Vec<T>::load(gradient));
  if (velocity) {
    const Vec<T> momentum = Vec<T>::broadcast(f.momentum);
    const Vec<T> moved = fma(momentum, Vec<T>::load(velocity), g);
    moved.store(velocity);
    g.raw = f.nesterov ? fma(momentum, moved, g).raw : moved.raw;
  }
  fma(Vec<T>::broadcast(-f.learning_rate), g, old).store(value);
}

template <class T>
void sgd_step(T* value, T* velocity, const T* gradient, std::int64_t count,
              const SgdFactors<T>& factors) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  const SgdFactors<T> f = factors;
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes)
    sgd_vector(value + i, velocity ? velocity + i : nullptr, gradient + i, f);
  if (i == count) return;
  const std::int64_t left = count - i;
  T rest[3][lanes];
  Vec<T>::load_partial(value + i, left).store(rest[0]);
  if (velocity) Vec<T>::load_partial(velocity + i, left).store(rest[1]);
  Vec<T>::load_partial(gradient + i, left).store(rest[2]);
  sgd_vector(rest[0], velocity ? rest[1] : nullptr, rest[2], f);
  Vec<T>::load(rest[0]).store_partial(value + i, left);
  if (velocity) Vec<T>::load(rest[1]).store_partial(velocity + i, left);
}

// One vector of a range, of which `left` elements exist. rule(value, state, gradient) gives the new
// value and changes the state; a state that is null is read as 0.
template <class T, bool whole, int states, class Rule>
ANTHER_INLINE void step_vector(T* value, T* const (&state)[states], const T* gradient,
                               std::int64_t i, std::int64_t left, const Rule& rule) {
  Vec<T> now[states];
  ANTHER_UNROLL for (int s = 0; s < states; ++s) now[s] =
      !state[s] ? Vec<T>::zero()
      : whole   ? Vec<T>::load(state[s] + i)
                : Vec<T>::load_partial(state[s] + i, left);
  const Vec<T> old = whole ? Vec<T>::load(value + i) : Vec<T>::load_partial(value + i, left);
  const Vec<T> g = whole ? Vec<T>::load(gradient + i) : Vec<T>::load_partial(gradient + i, left);
  const Vec<T> moved = rule(old, now, g);
  ANTHER_UNROLL for (int s = 0; s < states; ++s) {
    if (!state[s]) continue;
    if (whole)
      now[s].store(state[s] + i);
    else
      now[s].store_partial(state[s] + i, left);
  }
  if (whole)
    moved.store(value + i);
  else
    moved.store_partial(value + i, left);
}

template <class T, int states, class Rule>
ANTHER_INLINE void step_range(T* value, T* const (&state)[states], const T* gradient,
                              std::int64_t count, const Rule& rule) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes)
    step_vector<T, true>(value, state, gradient, i, lanes, rule);
  if (i < count) step_vector<T, false>(value, state, gradient, i, count - i, rule);
}

template <class T>
struct RMSpropRule {
  RMSpropFactors<T> f;
  bool momentum, centered;

  // state: the averages of g^2, of the steps, and of g.
  ANTHER_INLINE Vec<T> operator()(const Vec<T>& value, Vec<T> (&state)[3],
                                  const Vec<T>& gradient) const {
    const Vec<T> rate = Vec<T>::broadcast(f.rate);
    const Vec<T> g = fma(Vec<T>::broadcast(f.weight_decay), value,
                         Vec<T>::broadcast(f.gradient_scale) * gradient);
    state[0] = fma(rate, g * g - state[0], state[0]);
    Vec<T> variance = state[0];
    if (centered) {
      state[2] = fma(rate, g - state[2], state[2]);
      variance = max(Vec<T>::zero(), variance - state[2] * state[2]);
    }
    Vec<T> step = g / (sqrt(variance) + Vec<T>::broadcast(f.eps));
    if (momentum) step = state[1] = fma(Vec<T>::broadcast(f.momentum), state[1], step);
    return fma(Vec<T>::broadcast(-f.learning_rate), step, value);
  }
};
template <class T>
void rmsprop_step(T* value, const RMSpropState<T>& state, const T* gradient, std::int64_t count,
                  const RMSpropFactors<T>& factors) {
  T* const states[] = {state.square_average, state.momentum, state.average};
  step_range(value, states, gradient, count,
             RMSpropRule<T>{factors, state.momentum != nullptr, state.average != nullptr});
}

template <class T>
struct AdagradRule {
  AdagradFactors<T> f;

  ANTHER_INLINE Vec<T> operator()(const Vec<T>& value, Vec<T> (&sum)[1],
                                  const Vec<T>& gradient) const {
    const Vec<T> g = fma(Vec<T>::broadcast(f.weight_decay), value,
                         Vec<T>::broadcast(f.gradient_scale) * gradient);
    sum[0] = fma(g, g, sum[0]);
    const Vec<T> step = g / (sqrt(sum[0]) + Vec<T>::broadcast(f.eps));
    return fma(Vec<T>::broadcast(-f.learning_rate), step, value);
  }
};
template <class T>
void adagrad_step(T* value, T* sum, const T* gradient, std::int64_t count,
                  const AdagradFactors<T>& factors) {
  T* const states[] = {sum};
  step_range(value, states, gradient, count, AdagradRule<T>{factors});
}

template <class T>
struct LionRule {
  LionFactors<T> f;

  ANTHER_INLINE Vec<T> operator()(const Vec<T>& value, Vec<T> (&average)[1],
                                  const Vec<T>& gradient) const {
    const Vec<T> g = Vec<T>::broadcast(f.gradient_scale) * gradient;
    const Vec<T> change = g - average[0], zero = Vec<T>::zero();
    const Vec<T> direction = fma(Vec<T>::broadcast(f.direction_rate), change, average[0]);
    average[0] = fma(Vec<T>::broadcast(f.average_rate), change, average[0]);
    const Vec<T> rate = Vec<T>::broadcast(f.learning_rate);
    const Vec<T> step =
        select_less(zero, direction, rate, select_less(direction, zero, zero - rate, zero));
    return fma(Vec<T>::broadcast(f.keep), value, zero - step);
  }
};
template <class T>
void lion_step(T* value, T* average, const T* gradient, std::int64_t count,
               const LionFactors<T>& factors) {
  T* const states[] = {average};
  step_range(value, states, gradient, count, LionRule<T>{factors});
}

template <class T>
struct AverageMap {
  Vec<T> rate;
  ANTHER_INLINE Vec<T> operator()(const Vec<T>& average, const Vec<T>& value) const {
    return fma(rate, value - average, average);
  }
};

// average += rate (value - average).
template <class T>
void update_average(T* average, const T* value, T rate, std::int64_t count) {
  map(average, static_cast<const T*>(nullptr), average, value, count,
      AverageMap<T>{Vec<T>::broadcast(rate)});
}

template <class T>
T sum_of_squares(const T* x, std::int64_t count) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  Vec<T> part[4];
  ANTHER_UNROLL for (int j = 0; j < 4; ++j) part[j] = Vec<T>::zero();
  std::int64_t i = 0;
  for (; i + 4 * lanes <= count; i += 4 * lanes) ANTHER_UNROLL for (int j = 0; j < 4; ++j) {
      const Vec<T> value = Vec<T>::load(x + i + j * lanes);
      part[j] = fma(value, value, part[j]);
    }
  for (; i < count; i += lanes) {
    const Vec<T> value = Vec<T>::load_partial(x + i, count - i);
    part[0] = fma(value, value, part[0]);
  }
  return sum((part[0] + part[1]) + (part[2] + part[3]));
}

// Whether no element is infinite or NaN: 0 times it is 0.
template <class T>
bool all_finite(const T* x, std::int64_t count) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  Vec<T> part[4];
  ANTHER_UNROLL for (int j = 0; j < 4; ++j) part[j] = Vec<T>::zero();
  std::int64_t i = 0;
  for (; i + 4 * lanes <= count; i += 4 * lanes)
    ANTHER_UNROLL for (int j = 0; j < 4; ++j) part[j] =
        fma(Vec<T>::load(x + i + j * lanes), Vec<T>::zero(), part[j]);
  for (; i < count; i += lanes)
    part[0] = fma(Vec<T>::load_partial(x + i, count - i), Vec<T>::zero(), part[0]);
  return sum((part[0] + part[1]) + (part[2] + part[3])) == T(0);
}

// y[i] = factor times the folded sum of buffers[b][first + i].
template <class T>
void sum_buffers(T* y, const T* const* buffers, std::int64_t buffer_count, T factor,
                 std::int64_t first, std::int64_t count) {
  const Vec<T> times = Vec<T>::broadcast(factor);
  for (std::int64_t i = 0; i < count; i += Vec<T>::lanes) {
    Vec<T> part[max_sum_buffers];
    for (std::int64_t b = 0; b < buffer_count; ++b)
      part[b] = Vec<T>::load_partial(buffers[b] + first + i, count - i);
    for (std::int64_t n = buffer_count, half; n > 1; n = half) {
      half = (n + 1) / 2;
      for (std::int64_t b = 0; b + half < n; ++b) part[b] = part[b] + part[b + half];
    }
    (times * part[0]).store_partial(y + i, count - i);
  }
}
