// The body of peaks.hpp's FMA measurement: 12 independent chains of fused multiply-adds. What they
// start from is an argument: Clang leaves out a chain whose values it knows.
template <class T>
T fma_chains(std::int64_t count, T start) {
  Vec<T> chain[12];
  ANTHER_UNROLL for (int i = 0; i < 12; ++i) chain[i] =
      Vec<T>::broadcast(start * static_cast<T>(i + 1));
  const Vec<T> factor = Vec<T>::broadcast(T(0.999)), term = Vec<T>::broadcast(T(0.001));
  for (std::int64_t n = 0; n < count; ++n)
    ANTHER_UNROLL for (int i = 0; i < 12; ++i) chain[i] = fma(chain[i], factor, term);
  T total = 0;
  ANTHER_UNROLL for (int i = 0; i < 12; ++i) total += sum(chain[i]);
  return total;
}

template <class T>
int fma_lanes() {
  return Vec<T>::lanes;
}
