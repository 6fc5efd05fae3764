// A model's parameters and buffers in safetensors files, with PyTorch's names, shapes and order, or
// under names of other programs.
#pragma once

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "anther/autograd/parameter.hpp"
#include "anther/core/once.hpp"
#include "anther/io/safetensors.hpp"
#include "anther/nn/module_tree.hpp"
#include "anther/train/weight_names.hpp"

namespace anther::inline v0_1 {

// Values that are in the store's order, in PyTorch's order.
template <class T>
std::vector<T> to_torch_order(const ParameterInfo& info, std::span<const T> values) {
  std::vector<T> result(values.size());
  for_each_torch_index(info, [&](std::int64_t torch_index, std::int64_t index) {
    result[static_cast<std::size_t>(torch_index)] = values[static_cast<std::size_t>(index)];
  });
  return result;
}

struct SaveWeightsOptions {
  std::int64_t batches = 0;             // how many the running statistics have seen
  std::optional<io::Dtype> dtype = {};  // f16, say; else the values' own
  WeightNames names = {};               // of a WeightScheme, say; else the store's
};

// Tensors in PyTorch's order with the memory that they stand in.
template <class T>
class TorchTensors {
 public:
  void add(const std::string& name, const ParameterInfo& info, std::span<const T> values) {
    memory_.push_back(to_torch_order(info, values));
    tensors_.push_back(
        {.name = name, .shape = info.torch_shape(), .values = std::span<const T>(memory_.back())});
  }
  void add(const std::string& name, std::int64_t number) {
    numbers_.push_back(std::make_unique<std::int64_t>(number));
    tensors_.push_back({.name = name,
                        .shape = {},
                        .values = std::span<const std::int64_t>(numbers_.back().get(), 1)});
  }
  // All of a store: parameters, buffers and counters.
  void add(const ParameterStore<T>& store, std::span<const T> values,
           const SaveWeightsOptions& options) {
    const std::size_t first = tensors_.size();
    const auto& parameters = store.parameters();
    for (std::size_t i = 0; i < parameters.size(); ++i)
      add(name_in(options.names, parameters[i].name), parameters[i],
          store.slice_of(values, static_cast<int>(i)));
    const auto& buffers = store.buffers();
    for (std::size_t i = 0; i < buffers.size(); ++i)
      add(name_in(options.names, buffers[i].name), buffers[i], store.buffer(static_cast<int>(i)));
    for (std::size_t i = first; i < tensors_.size(); ++i) tensors_[i].dtype = options.dtype;
    for (const std::string& name : store.counters())
      add(name_in(options.names, name), options.batches);
  }
  std::span<const io::SafetensorsTensor> tensors() const { return tensors_; }

 private:
  std::vector<std::vector<T>> memory_;
  std::vector<std::unique_ptr<std::int64_t>> numbers_;
  std::vector<io::SafetensorsTensor> tensors_;
};

// Writes a model's weights, with checksums; `values` may be others than the store's (averaged ones,
// for example).
template <class T>
void save_weights(const std::filesystem::path& path, const ParameterStore<T>& store,
                  std::span<const T> values, const std::map<std::string, std::string>& metadata,
                  const SaveWeightsOptions& options = {}) {
  TorchTensors<T> tensors;
  tensors.add(store, values, options);
  io::write_safetensors(path, tensors.tensors(), metadata, {.checksums = true});
}

// Whether two shapes are the same except for extents of 1 at the end. A fully connected layer (O,
// C) and a 1x1 convolution (O, C, 1, 1) are the same, in the same order.
inline bool same_but_for_ones(const Shape& a, const Shape& b) {
  for (int axis = 0; axis < std::max(a.rank(), b.rank()); ++axis)
    if ((axis < a.rank() ? a[axis] : 1) != (axis < b.rank() ? b[axis] : 1)) return false;
  return true;
}

// Throws, naming the file and the tensor, if there is no tensor `name`, its shape is not the
// parameter's, or a value of it cannot be a T.
template <class T>
void check_tensor(const io::SafetensorsFile& file, const std::string& name,
                  const ParameterInfo& info) {
  const io::SafetensorsEntry& entry = file.entry(name);
  detail::check(same_but_for_ones(entry.shape, info.torch_shape()), file.path().string(), ": ",
                name, ": expected the shape ", info.torch_shape(), ", got ", entry.shape);
  file.for_each_chunk<T>(entry, [](std::span<const T>) {});
}

// Whether PyTorch's order of the elements is the store's: only axes with an extent of 1 move.
ANTHER_ONCE bool same_element_order(const ParameterInfo& info) {
  if (info.torch_order) return true;
  int last = -1;
  for (int i = 0; i < info.shape.rank(); ++i) {
    const int axis = info.torch_axes[static_cast<std::size_t>(i)];
    if (info.shape[axis] == 1) continue;
    if (axis < last) return false;
    last = axis;
  }
  return true;
}

// Reads a tensor, in which check_tensor has found no fault, from the file to its place.
template <class T>
void load_tensor(const io::SafetensorsFile& file, const std::string& name,
                 const ParameterInfo& info, std::span<T> values) {
  const io::SafetensorsEntry& entry = file.entry(name);
  if (same_element_order(info)) {
    file.read_into(entry, values);
    return;
  }
  std::vector<std::int64_t> place(static_cast<std::size_t>(info.size));
  for_each_torch_index(info, [&](std::int64_t torch_index, std::int64_t index) {
    place[static_cast<std::size_t>(torch_index)] = index;
  });
  auto next = place.begin();
  file.for_each_chunk<T>(entry, [&](std::span<const T> chunk) {
    for (const T value : chunk) values[static_cast<std::size_t>(*next++)] = value;
  });
}

struct LoadWeightsOptions {
  WeightNames names = {};  // the file's names for the store's weights, if they differ
  // The prefix of tensors that are not weights.
  std::string_view ignored = {};
  // Paths of modules whose parameters and buffers may be missing or of another shape: the head, for
  // another number of classes. All of them then keep their values.
  std::vector<std::string> replaced = {};
  // They keep them even if the file's would fit: it may have as many classes, but others.
  bool replace_always = false;
};

// Compares the weights in a file with a model's; returns the names of those parameters and buffers
// that are to be replaced. Throws, listing all names that are missing, unknown or of another shape,
// unless nothing else differs.
template <class T>
std::vector<std::string> check_weights(const io::SafetensorsFile& file,
                                       const ParameterStore<T>& store,
                                       const LoadWeightsOptions& options = {}) {
  std::vector<std::string> problems, replaced;
  std::set<std::string> known;
  const auto compare = [&](const ParameterInfo& info) {
    const std::string name = name_in(options.names, info.name);
    known.insert(name);
    const io::SafetensorsEntry* entry = file.find(name);
    const bool replaceable = is_within_any(info.name, options.replaced);
    const bool fits = entry && same_but_for_ones(entry->shape, info.torch_shape());
    if (fits && !(replaceable && options.replace_always)) return;
    if (replaceable)
      replaced.push_back(info.name);
    else if (!entry)
      problems.push_back(detail::text_of("missing: ", name, " ", info.torch_shape()));
    else
      problems.push_back(detail::text_of(name, ": expected the shape ", info.torch_shape(),
                                         ", got ", entry->shape));
  };
  for (const ParameterInfo& info : store.parameters()) compare(info);
  for (const ParameterInfo& info : store.buffers()) compare(info);
  for (const std::string& counter : store.counters()) known.insert(name_in(options.names, counter));
  for (const io::SafetensorsEntry& entry : file.entries())
    if ((options.ignored.empty() || !entry.name.starts_with(options.ignored)) &&
        !known.contains(entry.name))
      problems.push_back("not of this model: " + entry.name);
  if (!problems.empty()) {
    std::string message =
        detail::text_of(file.path().string(), ": the weights are of another model (",
                        problems.size(), " differences):");
    // A screen has no room for more, and the first lines matter most.
    constexpr std::size_t most = 30;
    for (std::size_t i = 0; i < problems.size() && i < most; ++i) message += "\n  " + problems[i];
    if (problems.size() > most)
      message += detail::text_of("\n  and ", problems.size() - most, " more");
    detail::fail(message);
  }
  if (replaced.empty()) return replaced;
  // A weight without its bias would be of no use.
  replaced.clear();
  for (const auto* list : {&store.parameters(), &store.buffers()})
    for (const ParameterInfo& info : *list)
      if (is_within_any(info.name, options.replaced)) replaced.push_back(info.name);
  return replaced;
}

// Reads all weights of a model from the file into the store, once check_weights has found no fault;
// returns what that returns. If the file is wrong it throws, and nothing has changed: all values
// are read twice, and checked before the first is stored.
template <class T>
std::vector<std::string> load_weights(const io::SafetensorsFile& file, ParameterStore<T>& store,
                                      const LoadWeightsOptions& options = {}) {
  const std::vector<std::string> replaced = check_weights(file, store, options);
  const auto for_each = [&](const std::vector<ParameterInfo>& list, const auto& body) {
    for (std::size_t i = 0; i < list.size(); ++i)
      if (std::find(replaced.begin(), replaced.end(), list[i].name) == replaced.end())
        body(name_in(options.names, list[i].name), list[i], static_cast<int>(i));
  };
  const auto check = [&](const std::string& name, const ParameterInfo& info, int) {
    check_tensor<T>(file, name, info);
  };
  for_each(store.parameters(), check);
  for_each(store.buffers(), check);
  const auto edit = store.edit();
  for_each(store.parameters(), [&](const std::string& name, const ParameterInfo& info, int i) {
    load_tensor(file, name, info, edit.value(i));
  });
  for_each(store.buffers(), [&](const std::string& name, const ParameterInfo& info, int i) {
    load_tensor(file, name, info, edit.buffer(i));
  });
  return replaced;
}

ANTHER_ONCE_FOR(std::vector<std::string> check_weights(const io::SafetensorsFile&,
                                                       const ParameterStore<float>&,
                                                       const LoadWeightsOptions&))
ANTHER_ONCE_FOR(std::vector<std::string> load_weights(const io::SafetensorsFile&,
                                                      ParameterStore<float>&,
                                                      const LoadWeightsOptions&))

}  // namespace anther::inline v0_1
