// The bodies of interpolate.hpp.

template <class T>
void interpolate_forward_run(T* y, const T* x, const InterpolateDims& d,
                             const InterpolateRun<T>& run) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  const T* const low = x + run.row.low * d.width * d.channels;
  const T* const high = x + run.row.high * d.width * d.channels;
  const Vec<T> down = Vec<T>::broadcast(run.row.weight);
  const Vec<T> up = Vec<T>::broadcast(T(1) - run.row.weight);
  for (std::int64_t k = 0; k < run.count; ++k, y += d.channels) {
    const std::int64_t left = run.column[k].low * d.channels;
    const std::int64_t right = run.column[k].high * d.channels;
    const Vec<T> to_right = Vec<T>::broadcast(run.column[k].weight);
    const Vec<T> to_left = Vec<T>::broadcast(T(1) - run.column[k].weight);
    for (std::int64_t c = 0; c < d.channels; c += lanes) {
      const std::int64_t rest = d.channels - c;
      Vec<T> value = Vec<T>::load_partial(low + left + c, rest);
      if (d.bilinear != 0) {
        const Vec<T> above =
            fma(to_right, Vec<T>::load_partial(low + right + c, rest), to_left * value);
        const Vec<T> below = fma(to_right, Vec<T>::load_partial(high + right + c, rest),
                                 to_left * Vec<T>::load_partial(high + left + c, rest));
        value = fma(down, below, up * above);
      }
      if (rest >= lanes)
        value.store(y + c);
      else
        value.store_partial(y + c, rest);
    }
  }
}

// dx = add, or 0, in rows first to last - 1 of an image.
template <class T>
void interpolate_start_rows(T* dx, const T* add, const InterpolateDims& d, std::int64_t first,
                            std::int64_t last, std::int64_t channels) {
  pool_start_rows(dx, add, d, first, last, channels);
}

// to += factor value, in the first `count` lanes.
template <class T>
ANTHER_INLINE void interpolate_accumulate(T* to, const Vec<T>& factor, const Vec<T>& value,
                                          std::int64_t count) {
  fma(factor, value, Vec<T>::load_partial(to, count)).store_partial(to, count);
}

template <class T>
void interpolate_backward_run(T* dx, const T* dy, const InterpolateDims& d,
                              const InterpolateRun<T>& run, std::int64_t channels) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  T* const low = dx + run.row.low * d.width * d.channels;
  T* const high = dx + run.row.high * d.width * d.channels;
  const T down = run.row.weight;
  for (std::int64_t k = 0; k < run.count; ++k, dy += d.channels) {
    const std::int64_t left = run.column[k].low * d.channels;
    const std::int64_t right = run.column[k].high * d.channels;
    const T to_right = run.column[k].weight;
    const Vec<T> factors[4] = {Vec<T>::broadcast((T(1) - down) * (T(1) - to_right)),
                               Vec<T>::broadcast((T(1) - down) * to_right),
                               Vec<T>::broadcast(down * (T(1) - to_right)),
                               Vec<T>::broadcast(down * to_right)};
    for (std::int64_t c = 0; c < channels; c += lanes) {
      const std::int64_t rest = channels - c;
      const Vec<T> gradient = Vec<T>::load_partial(dy + c, rest);
      interpolate_accumulate(low + left + c, factors[0], gradient, rest);
      if (d.bilinear == 0) continue;
      interpolate_accumulate(low + right + c, factors[1], gradient, rest);
      interpolate_accumulate(high + left + c, factors[2], gradient, rest);
      interpolate_accumulate(high + right + c, factors[3], gradient, rest);
    }
  }
}
