// The body of log_sum_exp.hpp: one row, serially.

// Of one row x: its maximum, log(sum(e^(x - maximum))), and sum(x - maximum).
template <class T>
void log_sum_exp_row(T* maximum, T* log_sum, T* sum_below, const T* x, std::int64_t columns) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  const std::int64_t whole = columns / lanes * lanes;
  T greatest = x[0];
  if (whole != 0) {
    Vec<T> most = Vec<T>::load(x);
    for (std::int64_t c = lanes; c < whole; c += lanes) most = max(most, Vec<T>::load(x + c));
    greatest = max_lane(most);
  }
  for (std::int64_t c = whole; c < columns; ++c) greatest = greatest < x[c] ? x[c] : greatest;

  const Vec<T> shift = Vec<T>::broadcast(greatest);
  Vec<T> total = Vec<T>::zero(), below = Vec<T>::zero();
  for (std::int64_t c = 0; c < whole; c += lanes) {
    const Vec<T> difference = Vec<T>::load(x + c) - shift;
    total = total + exp2(difference, Vec<T>::broadcast(log2_e<T>));
    below = below + difference;
  }
  T all = sum(total), all_below = sum(below);
  if (whole < columns) {
    T power[lanes];
    const Vec<T> rest = Vec<T>::load_partial(x + whole, columns - whole) - shift;
    exp2(rest, Vec<T>::broadcast(log2_e<T>)).store(power);
    for (std::int64_t c = whole; c < columns; ++c) {
      all += power[c - whole];
      all_below += x[c] - greatest;
    }
  }
  *maximum = greatest;
  *log_sum = std::log(all);
  *sum_below = all_below;
}
