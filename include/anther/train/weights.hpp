// A model's parameters and buffers in safetensors files, with PyTorch's names, shapes and order.
#pragma once

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "anther/autograd/parameter.hpp"
#include "anther/io/safetensors.hpp"

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
  void add(const ParameterStore<T>& store, std::span<const T> values, std::int64_t batches) {
    const auto& parameters = store.parameters();
    for (std::size_t i = 0; i < parameters.size(); ++i)
      add(parameters[i].name, parameters[i], store.slice_of(values, static_cast<int>(i)));
    const auto& buffers = store.buffers();
    for (std::size_t i = 0; i < buffers.size(); ++i) {
      add(buffers[i].name, buffers[i], store.buffer(static_cast<int>(i)));
      constexpr std::string_view mean = "running_mean";
      if (buffers[i].name.ends_with(mean))
        add(buffers[i].name.substr(0, buffers[i].name.size() - mean.size()) + "num_batches_tracked",
            batches);
    }
  }
  std::span<const SafetensorsTensor> tensors() const { return tensors_; }

 private:
  std::vector<std::vector<T>> memory_;
  std::vector<std::unique_ptr<std::int64_t>> numbers_;
  std::vector<SafetensorsTensor> tensors_;
};

// Writes a model's weights (the averaged ones, say, where `values` is not the store's). batches:
// how many the running statistics have seen.
template <class T>
void save_weights(const std::filesystem::path& path, const ParameterStore<T>& store,
                  std::span<const T> values, const std::map<std::string, std::string>& metadata,
                  std::int64_t batches = 0) {
  TorchTensors<T> tensors;
  tensors.add(store, values, batches);
  write_safetensors(path, tensors.tensors(), metadata);
}

// Reads the tensor `name` of a parameter. Throws, naming the file and the tensor, where it is not
// there or its shape is another.
template <class T>
void load_tensor(const SafetensorsFile& file, const std::string& name, const ParameterInfo& info,
                 std::span<T> values) {
  const SafetensorsEntry& entry = file.entry(name);
  check(entry.shape == info.torch_shape(), file.path().string(), ": ", name,
        ": expected the shape ", info.torch_shape(), ", got ", entry.shape);
  const Tensor<T> read = file.read<T>(name);
  from_torch_order<T>(info, read.span(), values);
}

// Throws, with a list of all names that are missing, too many or of another shape, unless the
// weights in a file are those of the model. ignored: what the names of tensors begin with that are
// no weights.
template <class T>
void check_weights(const SafetensorsFile& file, const ParameterStore<T>& store,
                   std::string_view ignored = {}) {
  std::vector<std::string> problems;
  std::vector<std::string_view> known;
  const auto compare = [&](const ParameterInfo& info) {
    known.push_back(info.name);
    const SafetensorsEntry* entry = file.find(info.name);
    if (!entry)
      problems.push_back(text_of("missing: ", info.name, " ", info.torch_shape()));
    else if (!(entry->shape == info.torch_shape()))
      problems.push_back(
          text_of(info.name, ": expected the shape ", info.torch_shape(), ", got ", entry->shape));
  };
  for (const ParameterInfo& info : store.parameters()) compare(info);
  for (const ParameterInfo& info : store.buffers()) compare(info);
  for (const SafetensorsEntry& entry : file.entries())
    if (!entry.name.ends_with("num_batches_tracked") &&
        (ignored.empty() || !entry.name.starts_with(ignored)) &&
        std::find(known.begin(), known.end(), entry.name) == known.end())
      problems.push_back("not of this model: " + entry.name);
  if (!problems.empty()) {
    std::string message = text_of(file.path().string(), ": the weights are of another model (",
                                  problems.size(), " differences):");
    for (const std::string& problem : problems) message += "\n  " + problem;
    fail(message);
  }
}

// Reads all weights of a model, once check_weights has found nothing.
template <class T>
void load_weights(const SafetensorsFile& file, ParameterStore<T>& store,
                  std::string_view ignored = {}) {
  check_weights(file, store, ignored);
  const std::span<T> values = store.values();
  for (std::size_t i = 0; i < store.parameters().size(); ++i)
    load_tensor(file, store.parameters()[i].name, store.parameters()[i],
                store.slice_of(values, static_cast<int>(i)));
  for (std::size_t i = 0; i < store.buffers().size(); ++i)
    load_tensor(file, store.buffers()[i].name, store.buffers()[i],
                store.buffer(static_cast<int>(i)));
}

}  // namespace anther::inline v0_1
