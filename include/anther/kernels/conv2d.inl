// The bodies of conv2d.hpp.

// to += from
template <class T>
void accumulate_run(T* to, const T* from, std::int64_t count) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  std::int64_t i = 0;
  for (; i + lanes <= count; i += lanes)
    (Vec<T>::load(to + i) + Vec<T>::load(from + i)).store(to + i);
  for (; i < count; ++i) to[i] += from[i];
}
