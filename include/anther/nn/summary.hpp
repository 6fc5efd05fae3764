// What a model is made of: its layers with their shapes, parameters and multiply-accumulates, from
// a walk over a forward pass that runs shapes only.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "anther/nn/dry_run.hpp"

namespace anther::inline v0_1 {

struct LayerSummary {
  std::string name;  // Conv2d-1: the type, and its number among those of that type
  std::string path;  // stages.0.0.conv
  Shape input, output;
  std::int64_t parameters = 0;  // its own, without those of its parts
  std::int64_t macs = 0;        // multiply-accumulates of its own ops
};

struct ModelSummary {
  std::vector<LayerSummary>
      layers;  // in the order in which their calls end; containers after parts
  Shape input;
  std::int64_t trainable_parameters = 0;
  std::int64_t other_parameters = 0;  // frozen ones, and BatchNorm's running statistics
  std::int64_t macs = 0;
  int element_size = 4;
};

namespace detail {
// A number for each name: 0 at first. (A std::map would be compiled by every program.)
class NamedCounts {
 public:
  std::int64_t& operator[](std::string_view name) {
    for (auto& [known, count] : counts_)
      if (known == name) return count;
    return counts_.emplace_back(name, 0).second;
  }

 private:
  std::vector<std::pair<std::string, std::int64_t>> counts_;
};
}  // namespace detail

// The summary of a model, or of a part of one, for an input of a shape (N, H, W, C). Computes
// nothing.
template <class T>
ModelSummary summarize(const Module<T>& model, const Shape& input) {
  DryRun<T> pass(model, input);
  Tape<T>& tape = pass.tape;

  detail::NamedCounts parameters_of, macs_of;
  ModelSummary summary;
  summary.input = input;
  summary.element_size = sizeof(T);
  const auto is_own = [&](const ParameterInfo& info) {
    return is_within(info.module, model.path());
  };
  for (const ParameterInfo& info : model.store().parameters()) {
    if (!is_own(info)) continue;
    parameters_of[info.module] += info.size;
    (info.trainable ? summary.trainable_parameters : summary.other_parameters) += info.size;
  }
  for (const ParameterInfo& info : model.store().buffers()) {
    if (!is_own(info)) continue;
    parameters_of[info.module] += info.size;
    summary.other_parameters += info.size;
  }
  for (const auto& entry : tape.entries())
    if (entry.op->macs) {
      const std::int64_t macs = entry.op->macs(Call<T>(tape, entry));
      macs_of[entry.layer] += macs;
      summary.macs += macs;
    }

  detail::NamedCounts number;
  const bool has_parts = tape.layer_calls().size() > 1;  // else it is a layer itself
  for (const auto& call : tape.layer_calls()) {
    if ((call.depth == 0 && has_parts) || call.container) continue;
    const std::string path(call.path), type(call.type);
    // The parameters and ops of a layer that is called twice are counted at the first call.
    const auto take = [&](detail::NamedCounts& counts) { return std::exchange(counts[path], 0); };
    summary.layers.push_back({detail::text_of(type, "-", ++number[type]), path, call.input,
                              call.output, take(parameters_of), take(macs_of)});
  }
  return summary;
}

// 3808182 -> 3,808,182
inline std::string with_commas(std::int64_t number) {
  std::string text = std::to_string(number);
  for (std::ptrdiff_t at = std::ssize(text) - 3; at > (number < 0 ? 1 : 0); at -= 3)
    text.insert(static_cast<std::size_t>(at), 1, ',');
  return text;
}

// A shape in PyTorch's order: [N, C, H, W].
inline std::string torch_shape_text(const Shape& shape) {
  std::string text = "[";
  for (int i = 0; i < shape.rank(); ++i) {
    const int axis = shape.rank() != 4 || i == 0 ? i : i == 1 ? 3 : i - 1;
    text += detail::text_of(i ? ", " : "", shape[axis]);
  }
  return text + "]";
}

// The table, in the form of paddle.summary, with one more column for multiply-accumulates. Shapes
// are in PyTorch's order. Sizes are in units of 2^20 bytes. The forward/backward size counts the
// output of every layer twice. A template, so that only programs that call it compile it.
template <class = void>
std::string to_string(const ModelSummary& summary) {
  constexpr std::size_t columns = 5;
  std::vector<std::array<std::string, columns>> rows;
  rows.push_back({"Layer (type)", "Input Shape", "Output Shape", "Param #", "Mult-Adds"});
  std::int64_t outputs = 0;
  for (const LayerSummary& layer : summary.layers) {
    rows.push_back({layer.name, "[" + torch_shape_text(layer.input) + "]",
                    torch_shape_text(layer.output), with_commas(layer.parameters),
                    with_commas(layer.macs)});
    outputs += layer.output.numel();
  }
  std::array<std::size_t, columns> width = {15, 20, 20, 15, 15};
  for (const auto& row : rows)
    for (std::size_t c = 0; c < columns; ++c) width[c] = std::max(width[c], row[c].size());
  std::size_t total = columns;
  for (const std::size_t w : width) total += w;
  total = std::max<std::size_t>(total, 75);

  const std::string thin(total, '-'), thick(total, '=');
  std::string text = thin + "\n";
  for (std::size_t r = 0; r < rows.size(); ++r) {
    std::string line;
    for (std::size_t c = 0; c < columns; ++c) {
      const std::size_t space = width[c] - rows[r][c].size();
      line += " " + std::string(space / 2, ' ') + rows[r][c] + std::string(space - space / 2, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
    if (r == 0) text += thick + "\n";
  }
  const std::int64_t parameters = summary.trainable_parameters + summary.other_parameters;
  const auto megabytes = [&](std::int64_t elements) {
    return static_cast<double>(elements * summary.element_size) / (1 << 20);
  };
  const double input = megabytes(summary.input.numel()), pass = 2 * megabytes(outputs),
               weights = megabytes(parameters);
  // With a point, whatever the locale.
  const auto decimals = [](double size) {
    char digits[32];
    return std::string(
        digits,
        std::to_chars(digits, digits + sizeof digits, size, std::chars_format::fixed, 2).ptr);
  };
  text += thick + "\n";
  text += "Total params: " + with_commas(parameters) + "\n";
  text += "Trainable params: " + with_commas(summary.trainable_parameters) + "\n";
  text += "Non-trainable params: " + with_commas(summary.other_parameters) + "\n";
  text += "Total mult-adds: " + with_commas(summary.macs) + "\n";
  text += thin + "\n";
  text += "Input size (MB): " + decimals(input) + "\n";
  text += "Forward/backward pass size (MB): " + decimals(pass) + "\n";
  text += "Params size (MB): " + decimals(weights) + "\n";
  text += "Estimated Total Size (MB): " + decimals(input + pass + weights) + "\n";
  text += thin + "\n";
  return text;
}

}  // namespace anther::inline v0_1
