// A model's parameters and buffers in safetensors files, with PyTorch's names, shapes and order;
// EdgeViT's under the names of its authors' code as well.
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
#include "anther/io/safetensors.hpp"
#include "anther/models/edgevit/names.hpp"

namespace anther::inline v0_1 {

// Values of the store's order, in PyTorch's.
template <class T>
std::vector<T> to_torch_order(const ParameterInfo& info, std::span<const T> values) {
  std::vector<T> result(values.size());
  for_each_torch_index(info, [&](std::int64_t torch_index, std::int64_t index) {
    result[static_cast<std::size_t>(torch_index)] = values[static_cast<std::size_t>(index)];
  });
  return result;
}

// And back.
template <class T>
void from_torch_order(const ParameterInfo& info, std::span<const T> torch_values,
                      std::span<T> values) {
  for_each_torch_index(info, [&](std::int64_t torch_index, std::int64_t index) {
    values[static_cast<std::size_t>(index)] = torch_values[static_cast<std::size_t>(torch_index)];
  });
}

struct SaveWeightsOptions {
  std::int64_t batches = 0;             // how many the running statistics have seen
  std::optional<io::Dtype> dtype = {};  // f16, say; else the values' own
  WeightNames names = {};               // official_edgevit_names(store), say; else the store's
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
  // All of a store: parameters and buffers, and num_batches_tracked beside each running_mean.
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

// Writes a model's weights (the averaged ones, say, where `values` is not the store's).
template <class T>
void save_weights(const std::filesystem::path& path, const ParameterStore<T>& store,
                  std::span<const T> values, const std::map<std::string, std::string>& metadata,
                  const SaveWeightsOptions& options = {}) {
  TorchTensors<T> tensors;
  tensors.add(store, values, options);
  io::write_safetensors(path, tensors.tensors(), metadata);
}

// Whether two shapes are the same but for extents of 1 at the end: a fully connected layer (O, C)
// and a 1x1 convolution (O, C, 1, 1) are one, in the same order.
inline bool same_but_for_ones(const Shape& a, const Shape& b) {
  for (int axis = 0; axis < std::max(a.rank(), b.rank()); ++axis)
    if ((axis < a.rank() ? a[axis] : 1) != (axis < b.rank() ? b[axis] : 1)) return false;
  return true;
}

// Reads the tensor `name` of a parameter. Throws, naming the file and the tensor, where it is not
// there or its shape is another.
template <class T>
void load_tensor(const io::SafetensorsFile& file, const std::string& name,
                 const ParameterInfo& info, std::span<T> values) {
  const io::SafetensorsEntry& entry = file.entry(name);
  detail::check(same_but_for_ones(entry.shape, info.torch_shape()), file.path().string(), ": ",
                name, ": expected the shape ", info.torch_shape(), ", got ", entry.shape);
  const Tensor<T> read = file.read<T>(name);
  from_torch_order<T>(info, read.span(), values);
}

struct LoadWeightsOptions {
  // What the names of tensors begin with that are no weights.
  std::string_view ignored = {};
  // What the names of parameters begin with that may be missing or of another shape: "head.", for
  // another number of classes. They all keep their values then.
  std::string_view replaced = {};
  // They keep them where the file's would fit too: as many classes, but others.
  bool replace_always = false;
};

// The names that a model's weights have in a file: the store's, or those of EdgeViT's authors where
// the file has them.
template <class T>
WeightNames names_of(const io::SafetensorsFile& file, const ParameterStore<T>& store) {
  return file.find("patch_embed1.proj.weight") ? official_edgevit_names(store) : WeightNames{};
}

// Compares the weights in a file with a model's; gives the names of those parameters that are to be
// replaced. Throws, with a list of all names that are missing, too many or of another shape, unless
// that is all that differs.
template <class T>
std::vector<std::string> check_weights(const io::SafetensorsFile& file,
                                       const ParameterStore<T>& store,
                                       const LoadWeightsOptions& options = {}) {
  const WeightNames names = names_of(file, store);
  std::vector<std::string> problems, replaced;
  std::set<std::string> known;
  const auto compare = [&](const ParameterInfo& info) {
    const std::string name = name_in(names, info.name);
    known.insert(name);
    const io::SafetensorsEntry* entry = file.find(name);
    const bool replaceable = !options.replaced.empty() && info.name.starts_with(options.replaced);
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
  for (const io::SafetensorsEntry& entry : file.entries())
    if (!entry.name.ends_with("num_batches_tracked") &&
        (options.ignored.empty() || !entry.name.starts_with(options.ignored)) &&
        !known.contains(entry.name))
      problems.push_back("not of this model: " + entry.name);
  if (!problems.empty()) {
    std::string message =
        detail::text_of(file.path().string(), ": the weights are of another model (",
                        problems.size(), " differences):");
    // A screen has room for no more, and the first line is what matters most.
    constexpr std::size_t most = 30;
    for (std::size_t i = 0; i < problems.size() && i < most; ++i) message += "\n  " + problems[i];
    if (problems.size() > most)
      message += detail::text_of("\n  and ", problems.size() - most, " more");
    detail::fail(message);
  }
  if (replaced.empty()) return replaced;
  // A weight without its bias would be of no use.
  replaced.clear();
  for (const ParameterInfo& info : store.parameters())
    if (info.name.starts_with(options.replaced)) replaced.push_back(info.name);
  return replaced;
}

// Reads all weights of a model, once check_weights has found nothing; gives what that gives. Where
// it throws, nothing has changed.
template <class T>
std::vector<std::string> load_weights(const io::SafetensorsFile& file, ParameterStore<T>& store,
                                      const LoadWeightsOptions& options = {}) {
  const std::vector<std::string> replaced = check_weights(file, store, options);
  const WeightNames names = names_of(file, store);
  // Into new memory first: a value that does not fit T must not leave half of the file behind.
  const auto read = [&](const std::vector<ParameterInfo>& list, std::span<const T> old) {
    std::vector<T> values(old.begin(), old.end());
    for (const ParameterInfo& info : list)
      if (std::find(replaced.begin(), replaced.end(), info.name) == replaced.end())
        load_tensor(file, name_in(names, info.name), info,
                    std::span<T>(values).subspan(static_cast<std::size_t>(info.offset),
                                                 static_cast<std::size_t>(info.size)));
    return values;
  };
  const std::vector<T> values = read(store.parameters(), store.values());
  const std::vector<T> buffers = read(store.buffers(), store.buffer_values());
  const auto edit = store.edit();
  std::ranges::copy(values, edit.values().begin());
  std::ranges::copy(buffers, edit.buffer_values().begin());
  return replaced;
}

}  // namespace anther::inline v0_1
