// The bodies of patch_product.hpp.

// Copies `count` runs of `length` elements each.
template <class T>
ANTHER_INLINE void patch_copy_runs(T* to, std::int64_t to_stride, const T* from,
                                   std::int64_t from_stride, std::int64_t count,
                                   std::int64_t length) {
  constexpr std::int64_t lanes = Vec<T>::lanes;
  if (length < lanes) {
    for (; count > 0; --count, to += to_stride, from += from_stride) {
      if (partial_is_cheap)
        Vec<T>::load_partial(from, length).store_partial(to, length);
      else
        // Not by assignment: it may be pairs of numbers of 16 bits.
        __builtin_memcpy(to, from, static_cast<std::size_t>(length) * sizeof(T));
    }
    return;
  }
  for (; count > 0; --count, to += to_stride, from += from_stride) {
    std::int64_t i = 0;
    for (; i + 4 * lanes <= length; i += 4 * lanes) ANTHER_UNROLL for (int v = 0; v < 4; ++v) {
        Vec<T>::load(from + i + v * lanes).store(to + i + v * lanes);
      }
    for (; i + lanes <= length; i += lanes) Vec<T>::load(from + i).store(to + i);
    // The tail, with some of what stands before it once more.
    if (i < length) Vec<T>::load(from + length - lanes).store(to + length - lanes);
  }
}

template <class T>
ANTHER_INLINE void patch_zero_run(T* to, std::int64_t length) {
  for (std::int64_t i = 0; i < length; i += Vec<T>::lanes)
    Vec<T>::zero().store_partial(to + i, length - i);
}

// A run of a patch: elements that follow each other in the map too. Its first element is `first`
// elements from column `column` of row `row` of the map (of the patch whose i and j are 0); there
// are `length` of them.
struct PatchRun {
  std::int64_t row, column, first, length;
};

// The same run of `count` patches, from patch `patch` on, to rows that are to_stride apart.
template <class T>
ANTHER_INLINE void patch_gather_run(T* to, std::int64_t to_stride, const T* x, const PatchDims& d,
                                    const PatchRun& run, std::int64_t patch, std::int64_t count) {
  // The columns of the map, counted from run.column, that the run touches.
  const std::int64_t touched_first = run.first / d.in_channels;
  const std::int64_t touched_last = (run.first + run.length - 1) / d.in_channels;
  // Patches j_inside to j_outside - 1 of a line are inside the map.
  const std::int64_t left = -(run.column + touched_first),
                     right = d.width - run.column - touched_last;
  const std::int64_t j_inside = left > 0 ? (left + d.stride_width - 1) / d.stride_width : 0;
  const std::int64_t j_outside = right > 0 ? (right + d.stride_width - 1) / d.stride_width : 0;
  const std::int64_t step = d.stride_width * d.channels;
  while (count > 0) {
    const std::int64_t line = patch / d.out_width, j = patch % d.out_width;
    const std::int64_t here = d.out_width - j < count ? d.out_width - j : count;
    const std::int64_t row = line % d.out_height * d.stride_height + run.row;
    const bool is_inside = row >= 0 && row < d.height;
    const T* const from =
        x + ((line / d.out_height * d.height + row) * d.width + run.column) * d.channels +
        run.first;
    std::int64_t at = j;
    const std::int64_t end = j + here;
    while (at < end) {
      if (is_inside && at >= j_inside && at < j_outside) {
        const std::int64_t last = j_outside < end ? j_outside : end;
        patch_copy_runs(to, to_stride, from + at * step, step, last - at, run.length);
        to += (last - at) * to_stride;
        at = last;
        continue;
      }
      // One patch that leaves the map: zeros before and after.
      std::int64_t begin = run.length, stop = run.length;
      if (is_inside) {
        const std::int64_t column = run.column + at * d.stride_width;
        begin = -column * d.in_channels - run.first;
        begin = begin < 0 ? 0 : begin < run.length ? begin : run.length;
        stop = (d.width - column) * d.in_channels - run.first;
        stop = stop < begin ? begin : stop < run.length ? stop : run.length;
      }
      patch_zero_run(to, begin);
      if (begin < stop)
        patch_copy_runs(to + begin, 0, from + at * step + begin, 0, 1, stop - begin);
      patch_zero_run(to + stop, run.length - stop);
      to += to_stride;
      ++at;
    }
    patch += here;
    count -= here;
  }
}

// to (count, last - first) = the elements first, ..., last - 1 of patches patch, patch + 1, ...
template <class T>
void patch_gather(T* to, const T* x, const PatchDims& d, const PatchPart& part) {
  const std::int64_t width = part.last - part.first;
  // A whole line of the kernel follows itself in the map where no channels or columns are left out.
  const bool by_lines = d.dilation_width == 1 && d.in_channels == d.channels;
  const std::int64_t in_line = by_lines ? 1 : d.kernel_width;
  const std::int64_t size = (by_lines ? d.kernel_width : 1) * d.in_channels;
  for (std::int64_t k = part.first; k < part.last;) {
    const std::int64_t number = k / size, first = k % size;
    const std::int64_t length = size - first < part.last - k ? size - first : part.last - k;
    const PatchRun run = {number / in_line * d.dilation_height + d.start_height,
                          number % in_line * d.dilation_width + d.start_width, first, length};
    patch_gather_run(to + (k - part.first), width, x, d, run, part.patch, part.count);
    k += length;
  }
}
