// Where the values of a forward pass are kept: real numbers in one memory, integers in another. A
// value's life ends with its last reader, and values whose lives do not overlap share memory. The
// product that reads a norm or GELU computes it, so that these have no memory, unless another
// reader needs them whole.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "anther/autograd/tape.hpp"

namespace anther::inline v0_1 {

template <class T>
class InferencePlan {
 public:
  using Entry = typename Tape<T>::Entry;

  // tape: a pass in evaluation, from the value `input` to `output`. It outlives this.
  InferencePlan(const Tape<T>& tape, int input, int output)
      : tape_(tape),
        entries_(tape.entries().begin(), tape.entries().end()),
        offset_(static_cast<std::size_t>(tape.value_count()), -1) {
    merge_additions(output);
    choose_lazy(output);
    choose_applied(output);
    place(input, output);
  }

  // The pass. An entry's `lazy` says whose rows it computes in place of its first input; `merged`
  // says that the entry before computes this addition, and `applied` that the entry whose `after`
  // leads to it computes its rows.
  std::span<const Entry> entries() const { return entries_; }
  // Where a value begins in its memory, in elements; -1 if it has no place there (a parameter, a
  // constant, or a lazy result that its readers compute).
  std::int64_t offset_of(int id) const {
    const auto root = tape_.root_of(id);
    const std::int64_t offset = offset_[static_cast<std::size_t>(root.id)];
    return offset < 0 ? -1 : offset + root.first;
  }
  // Elements of the memory of real numbers, and of that of integers.
  std::int64_t size() const { return sizes_[0]; }
  std::int64_t integers_size() const { return sizes_[1]; }
  // Calls body(lazy) for the lazy ops that an entry applies to its result, from the last to the
  // first.
  template <class Body>
  void for_each_applied(const Entry& entry, const Body& body) const {
    for (int e = entry.after; e >= 0; e = entries_[static_cast<std::size_t>(e)].lazy)
      body(entries_[static_cast<std::size_t>(e)]);
  }

 private:
  int root_of(int id) const { return tape_.root_of(id).id; }

  // An addition becomes part of the op just before it, if that op can add and nobody else reads the
  // op's own result.
  void merge_additions(int output) {
    std::vector<int> reads(offset_.size(), 0);
    for (Entry& entry : entries_) {
      entry.add = entry.into = -1;
      entry.merged = false;
      for (const int id : entry.inputs)
        if (id >= 0) ++reads[static_cast<std::size_t>(root_of(id))];
    }
    ++reads[static_cast<std::size_t>(root_of(output))];
    for (std::size_t e = 0; e + 1 < entries_.size(); ++e) {
      Entry& op = entries_[e];
      Entry& addition = entries_[e + 1];
      const int result = op.outputs[0];
      if (!op.op->takes_add || !addition.op->is_addition) continue;
      if (reads[static_cast<std::size_t>(result)] != 1) continue;
      for (const int i : {1, 0}) {
        if (addition.input(i) != result) continue;
        op.add = addition.input(1 - i);
        op.into = addition.outputs[0];
        addition.merged = true;
        break;
      }
    }
  }

  // A lazy result is stored only if a reader needs it whole.
  void choose_lazy(int output) {
    stored_.assign(offset_.size(), true);
    const auto is_stored = [&](int id) -> std::vector<bool>::reference {
      return stored_[static_cast<std::size_t>(root_of(id))];
    };
    for (const Entry& entry : entries_)
      if (entry.op->forward_rows) is_stored(entry.outputs[0]) = entry.outputs[0] == output;
    for (const Entry& entry : entries_) {
      if (entry.into >= 0) is_stored(entry.outputs[0]) = false;
      if (entry.add >= 0) is_stored(entry.add) = true;
      if (entry.merged) continue;
      for (std::size_t i = 0; i < entry.inputs.size(); ++i)
        if (entry.inputs[i] >= 0 && (i > 0 || !entry.op->takes_lazy))
          is_stored(entry.inputs[i]) = true;
    }
    for (Entry& entry : entries_)
      if (!entry.merged && !entry.inputs.empty() && entry.inputs[0] >= 0 &&
          !is_stored(entry.inputs[0]))
        entry.lazy = tape_.producer_of(entry.inputs[0]);
  }

  // Cheap lazy ops that alone read the result of an op which applies_rows become part of it, if all
  // else that they read is there when that op runs.
  void choose_applied(int output) {
    std::vector<int> readers(offset_.size(), 0), reader(offset_.size(), -1);
    const auto read = [&](int id, int by) {
      if (id < 0) return;
      ++readers[static_cast<std::size_t>(root_of(id))];
      reader[static_cast<std::size_t>(root_of(id))] = by;
    };
    for (int e = 0; e < static_cast<int>(entries_.size()); ++e) {
      const Entry& entry = entries_[static_cast<std::size_t>(e)];
      if (entry.merged) continue;
      for (const int id : entry.inputs) read(id, e);
      read(entry.add, e);
    }
    for (int e = 0; e < static_cast<int>(entries_.size()); ++e) {
      Entry& entry = entries_[static_cast<std::size_t>(e)];
      if (entry.merged || !entry.op->applies_rows) continue;
      const auto is_there = [&](int id) { return id < 0 || tape_.producer_of(root_of(id)) < e; };
      int result = entry.into >= 0 ? entry.into : entry.outputs[0];
      while (root_of(result) != root_of(output) && readers[static_cast<std::size_t>(result)] == 1) {
        const int next = reader[static_cast<std::size_t>(result)];
        Entry& lazy = entries_[static_cast<std::size_t>(next)];
        if (!lazy.op->is_cheap || lazy.inputs[0] != result) break;
        if (!std::all_of(lazy.inputs.begin() + 1, lazy.inputs.end(), is_there)) break;
        if (entry.after >= 0 && lazy.lazy != entry.after) break;
        stored_[static_cast<std::size_t>(result)] = false;
        result = lazy.outputs[0];
        lazy.applied = true;
        entry.after = next;
      }
      if (entry.after < 0) continue;
      stored_[static_cast<std::size_t>(result)] = true;
      entry.into = result;
      for (Entry& other : entries_)
        if (!other.applied && other.lazy == entry.after) other.lazy = -1;  // reads it where it is
    }
  }

  // Calls body(id) for every value that an entry reads.
  template <class Body>
  void for_each_read(const Entry& entry, const Body& body) const {
    if (entry.merged) return;
    if (entry.add >= 0) body(entry.add);
    for_each_applied(entry, [&](const Entry& lazy) {
      for (std::size_t i = 1; i < lazy.inputs.size(); ++i)
        if (lazy.inputs[i] >= 0) body(lazy.inputs[i]);
      for (const int id : lazy.outputs.subspan(1)) body(id);
    });
    for (std::size_t i = 0; i < entry.inputs.size(); ++i) {
      if (i > 0 || entry.lazy < 0) {
        if (entry.inputs[i] >= 0) body(entry.inputs[i]);
        continue;
      }
      // It computes these rows from what the lazy op reads and has kept.
      const Entry& lazy = entries_[static_cast<std::size_t>(entry.lazy)];
      for_each_read(lazy, body);
      for (const int id : lazy.outputs)
        if (id != lazy.outputs[0]) body(id);
    }
  }

  // Memory that is free, from `at` on.
  struct Gap {
    std::int64_t at, size;
  };

  // Gives every value its place: the smallest gap that has room, or else the end.
  void place(int input, int output) {
    const int entries = static_cast<int>(entries_.size());
    std::vector<int> last_read(offset_.size(), -1);
    for (int e = 0; e < entries; ++e)
      for_each_read(entries_[static_cast<std::size_t>(e)],
                    [&](int id) { last_read[static_cast<std::size_t>(root_of(id))] = e; });
    last_read[static_cast<std::size_t>(root_of(output))] = entries;

    std::vector<Gap> gaps_of[2];
    const auto gaps = [&](int id) -> auto& {
      return gaps_of[tape_.holds_integers(id)];
    };
    const auto room = [&](int id) { return (tape_.shape_of(id).numel() + 15) / 16 * 16; };
    const auto take = [&](int id) {
      offset_[static_cast<std::size_t>(id)] =
          take_gap(gaps(id), sizes_[tape_.holds_integers(id)], room(id));
    };
    take(input);
    for (int e = 0; e < entries; ++e) {
      const Entry& entry = entries_[static_cast<std::size_t>(e)];
      if (!entry.merged && !entry.applied) {
        for (const int id : entry.outputs)
          if (stored_[static_cast<std::size_t>(id)] && root_of(id) == id) take(id);
        if (entry.into >= 0) take(entry.into);
        for_each_applied(entry, [&](const Entry& lazy) {
          for (const int id : lazy.outputs.subspan(1)) take(id);
        });
      }
      for (int id = 0; id < tape_.value_count(); ++id) {
        const auto at = static_cast<std::size_t>(id);
        if (offset_[at] >= 0 && std::max(last_read[at], tape_.producer_of(id)) == e)
          give_gap(gaps(id), {offset_[at], room(id)});
      }
    }
    // What the first of the lazy ops reads is where the last one's result is.
    for (const Entry& entry : entries_)
      for_each_applied(entry, [&](const Entry& lazy) {
        if (lazy.lazy < 0)
          offset_[static_cast<std::size_t>(lazy.inputs[0])] =
              offset_[static_cast<std::size_t>(entry.into)];
      });
  }
  static std::int64_t take_gap(std::vector<Gap>& gaps, std::int64_t& end, std::int64_t size) {
    auto best = gaps.end();
    for (auto gap = gaps.begin(); gap != gaps.end(); ++gap)
      if (gap->size >= size && (best == gaps.end() || gap->size < best->size)) best = gap;
    if (best == gaps.end()) {
      end += size;
      return end - size;
    }
    const std::int64_t at = best->at;
    best->at += size;
    best->size -= size;
    if (best->size == 0) gaps.erase(best);
    return at;
  }
  static void give_gap(std::vector<Gap>& gaps, Gap gap) {
    const auto next =
        std::find_if(gaps.begin(), gaps.end(), [&](const Gap& other) { return other.at > gap.at; });
    auto here = gaps.insert(next, gap);
    if (here + 1 != gaps.end() && here->at + here->size == (here + 1)->at) {
      here->size += (here + 1)->size;
      gaps.erase(here + 1);
    }
    if (here != gaps.begin() && (here - 1)->at + (here - 1)->size == here->at) {
      (here - 1)->size += here->size;
      gaps.erase(here);
    }
  }

  const Tape<T>& tape_;
  std::vector<Entry> entries_;
  std::vector<bool> stored_;  // for each value, whether it has a place
  std::vector<std::int64_t> offset_;
  std::int64_t sizes_[2] = {};  // of real numbers, of integers
};

}  // namespace anther::inline v0_1
