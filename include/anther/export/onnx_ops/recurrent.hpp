// The forms of LSTM and GRU in ONNX. Its operators take the input itself and multiply it with a
// weight, which is the identity here, since the op's input is that product. Their gates stand in
// another order.
#pragma once

#include <string>
#include <vector>

#include "anther/export/graph_builder.hpp"
#include "anther/ops/recurrent.hpp"

namespace anther::inline v0_1::exports {

// order: PyTorch's gate for each of ONNX's. Returns Y (T, N, H) and LSTM's last cell (N, H).
template <class T>
std::vector<std::string> graph_recurrent(GraphBuilder& graph, const Call<T>& call,
                                         const std::vector<int>& order) {
  const auto& d = call.template attributes<kernels::RecurrentDims>();
  const std::int64_t width = d.width();
  Integers rows;
  std::vector<double> identity(static_cast<std::size_t>(width * width));
  for (const int gate : order)
    for (std::int64_t j = 0; j < d.hidden; ++j) {
      const std::int64_t row = gate * d.hidden + j;
      identity[rows.size() * static_cast<std::size_t>(width) + static_cast<std::size_t>(row)] = 1;
      rows.push_back(row);
    }
  const auto ordered = [&](int i) {
    return graph.node("Gather", {graph.input(i), graph.constant(rows)}, {{"axis", 0}});
  };
  const auto with_direction = [&](const std::string& x) {
    return x.empty() ? x : graph.node("Unsqueeze", {x, graph.constant(Integers{0})});
  };
  std::string bias;
  if (call.has_input(2)) {
    const std::vector<double> zeros(static_cast<std::size_t>(width));
    bias = with_direction(
        graph.node("Concat", {graph.constant({width}, zeros), ordered(2)}, {{"axis", 0}}));
  }
  std::vector<std::string> inputs = {
      d.batch_first ? graph.transpose(graph.input(0), {1, 0, 2}) : graph.input(0),
      graph.constant({1, width, width}, identity),
      with_direction(ordered(1)),
      bias,
      "",
      with_direction(call.has_input(3) ? graph.input(3) : "")};
  std::vector<GraphAttribute> attributes = {{"hidden_size", d.hidden}};
  if (d.is_lstm)
    inputs.push_back(with_direction(call.has_input(4) ? graph.input(4) : ""));
  else
    attributes.push_back({"linear_before_reset", 1});
  std::vector<std::string> results =
      graph.nodes(d.is_lstm ? "LSTM" : "GRU", inputs, attributes, d.is_lstm ? 3 : 1);
  results[0] = graph.node("Squeeze", {results[0], graph.constant(Integers{1})});
  if (d.batch_first) results[0] = graph.transpose(results[0], {1, 0, 2});
  if (d.is_lstm) results[1] = graph.node("Squeeze", {results[2], graph.constant(Integers{0})});
  return results;
}

template <class T>
void add_recurrent_onnx(OnnxForms<T>& forms) {
  forms.add_named(gru_op_name, [](GraphBuilder& graph, const Call<T>& call) {
    graph.output(graph_recurrent(graph, call, {1, 0, 2})[0]);  // z, r, n
  });
  forms.add_named(lstm_op_name, [](GraphBuilder& graph, const Call<T>& call) {
    const std::vector<std::string> results =
        graph_recurrent(graph, call, {0, 3, 1, 2});  // i, o, f, g
    graph.output(results[0], 0);
    graph.output(results[1], 1);
  });
}

}  // namespace anther::inline v0_1::exports
