// The bodies of recurrent.hpp: one step of one sample. Each takes a vector of hidden units at a
// time; a state that is null is zeros.

template <class T>
ANTHER_INLINE Vec<T> recurrent_load(const T* from, std::int64_t i, std::int64_t left) {
  return from ? Vec<T>::load_partial(from + i, left) : Vec<T>::zero();
}

// gates: sums, which become i, f, g and o.
template <class T>
void lstm_cell_forward(T* h, T* c, T* gates, const T* c_before, std::int64_t hidden) {
  for (std::int64_t j = 0; j < hidden; j += Vec<T>::lanes) {
    const std::int64_t left = hidden - j;
    const Vec<T> i = logistic(Vec<T>::load_partial(gates + j, left));
    const Vec<T> f = logistic(Vec<T>::load_partial(gates + hidden + j, left));
    const Vec<T> g = tanh(Vec<T>::load_partial(gates + 2 * hidden + j, left));
    const Vec<T> o = logistic(Vec<T>::load_partial(gates + 3 * hidden + j, left));
    const Vec<T> cell = fma(f, recurrent_load(c_before, j, left), i * g);
    i.store_partial(gates + j, left);
    f.store_partial(gates + hidden + j, left);
    g.store_partial(gates + 2 * hidden + j, left);
    o.store_partial(gates + 3 * hidden + j, left);
    cell.store_partial(c + j, left);
    (o * tanh(cell)).store_partial(h + j, left);
  }
}

// dh: of this step's h, without dy. dc: of this step's c, which becomes that of the step before.
template <class T>
void lstm_cell_backward(T* dgates, const T* dh, T* dc, const T* dy, const T* gates, const T* c,
                        const T* c_before, std::int64_t hidden) {
  for (std::int64_t j = 0; j < hidden; j += Vec<T>::lanes) {
    const std::int64_t left = hidden - j;
    const Vec<T> one = Vec<T>::broadcast(T(1));
    const Vec<T> i = Vec<T>::load_partial(gates + j, left);
    const Vec<T> f = Vec<T>::load_partial(gates + hidden + j, left);
    const Vec<T> g = Vec<T>::load_partial(gates + 2 * hidden + j, left);
    const Vec<T> o = Vec<T>::load_partial(gates + 3 * hidden + j, left);
    const Vec<T> out = tanh(Vec<T>::load_partial(c + j, left));
    const Vec<T> gradient = Vec<T>::load_partial(dh + j, left) + recurrent_load(dy, j, left);
    const Vec<T> cell = fma(gradient * o, one - out * out, Vec<T>::load_partial(dc + j, left));
    (cell * g * (i * (one - i))).store_partial(dgates + j, left);
    (cell * recurrent_load(c_before, j, left) * (f * (one - f)))
        .store_partial(dgates + hidden + j, left);
    (cell * i * (one - g * g)).store_partial(dgates + 2 * hidden + j, left);
    (gradient * out * (o * (one - o))).store_partial(dgates + 3 * hidden + j, left);
    (cell * f).store_partial(dc + j, left);
  }
}

// gates: r, z, n and what of the state goes into n. sums: what the state gives to the gates.
template <class T>
void gru_cell_forward(T* h, T* gates, const T* gx, const T* sums, const T* h_before,
                      std::int64_t hidden) {
  for (std::int64_t j = 0; j < hidden; j += Vec<T>::lanes) {
    const std::int64_t left = hidden - j;
    const Vec<T> r =
        logistic(Vec<T>::load_partial(gx + j, left) + Vec<T>::load_partial(sums + j, left));
    const Vec<T> z = logistic(Vec<T>::load_partial(gx + hidden + j, left) +
                              Vec<T>::load_partial(sums + hidden + j, left));
    const Vec<T> state = Vec<T>::load_partial(sums + 2 * hidden + j, left);
    const Vec<T> n = tanh(fma(r, state, Vec<T>::load_partial(gx + 2 * hidden + j, left)));
    r.store_partial(gates + j, left);
    z.store_partial(gates + hidden + j, left);
    n.store_partial(gates + 2 * hidden + j, left);
    state.store_partial(gates + 3 * hidden + j, left);
    fma(z, recurrent_load(h_before, j, left) - n, n).store_partial(h + j, left);
  }
}

// dh: of this step's h, without dy; it becomes the part of the step before's that does not go
// through the gates.
template <class T>
void gru_cell_backward(T* dstate, T* dgx, T* dh, const T* dy, const T* gates, const T* h_before,
                       std::int64_t hidden) {
  for (std::int64_t j = 0; j < hidden; j += Vec<T>::lanes) {
    const std::int64_t left = hidden - j;
    const Vec<T> one = Vec<T>::broadcast(T(1));
    const Vec<T> r = Vec<T>::load_partial(gates + j, left);
    const Vec<T> z = Vec<T>::load_partial(gates + hidden + j, left);
    const Vec<T> n = Vec<T>::load_partial(gates + 2 * hidden + j, left);
    const Vec<T> state = Vec<T>::load_partial(gates + 3 * hidden + j, left);
    const Vec<T> gradient = Vec<T>::load_partial(dh + j, left) + recurrent_load(dy, j, left);
    const Vec<T> dn = gradient * (one - z) * (one - n * n);
    const Vec<T> dz = gradient * (recurrent_load(h_before, j, left) - n) * (z * (one - z));
    const Vec<T> dr = dn * state * (r * (one - r));
    dr.store_partial(dgx + j, left);
    dz.store_partial(dgx + hidden + j, left);
    dn.store_partial(dgx + 2 * hidden + j, left);
    dr.store_partial(dstate + j, left);
    dz.store_partial(dstate + hidden + j, left);
    (dn * r).store_partial(dstate + 2 * hidden + j, left);
    (gradient * z).store_partial(dh + j, left);
  }
}
