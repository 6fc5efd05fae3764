// GRU and LSTM as layers, with PyTorch's names: weight_ih_l0 (gates H, C), weight_hh_l0 (gates H,
// H), bias_ih_l0 and bias_hh_l0 (gates H), then those of layer l1. PyTorch's order of the gates and
// start. Values are (N, T, C), PyTorch's with batch_first; without it (T, N, C).
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "anther/nn/module.hpp"
#include "anther/ops/dropout.hpp"
#include "anther/ops/recurrent.hpp"
#include "anther/ops/shape.hpp"

namespace anther::inline v0_1 {

struct RecurrentOptions {
  int num_layers = 1;
  bool bias = true;
  bool batch_first = true;
  double dropout = 0;  // between the layers
};

// What a sequence ends with: h (num_layers, N, H), and LSTM's c. To go on from it, hand it to the
// next call.
template <class T>
struct RecurrentState {
  Variable<T> h, c;
};
template <class T>
struct RecurrentResult {
  Variable<T> output;  // h of the last layer at all steps
  RecurrentState<T> state;
};

// What both have.
template <class T>
class RecurrentBase : public Module<T> {
 public:
  RecurrentBase(const Scope<T>& scope, std::string_view type, std::int64_t gates,
                std::int64_t input_size, std::int64_t hidden_size, const RecurrentOptions& options)
      : Module<T>(scope, type), hidden_(hidden_size), options_(options) {
    detail::check(options.num_layers >= 1, scope.path(),
                  ": expected a num_layers of at least 1, got ", options.num_layers);
    detail::check(options.dropout >= 0 && options.dropout < 1, scope.path(),
                  ": expected a dropout probability in [0, 1), got ", options.dropout);
    const Init init = Init::uniform(1 / std::sqrt(static_cast<double>(hidden_size)));
    for (int layer = 0; layer < options.num_layers; ++layer) {
      const std::string end = "_l" + std::to_string(layer);
      const std::int64_t width = gates * hidden_size, in = layer == 0 ? input_size : hidden_size;
      const auto bias = [&](const char* name) {
        return options.bias
                   ? scope.parameter(name + end, {.shape = {width}, .init = init, .decay = false})
                   : Parameter<T>{};
      };
      Parameters p;
      p.weight_ih = scope.parameter("weight_ih" + end, {.shape = {width, in}, .init = init});
      p.weight_hh =
          scope.parameter("weight_hh" + end, {.shape = {width, hidden_size}, .init = init});
      p.bias_ih = bias("bias_ih");
      p.bias_hh = bias("bias_hh");
      layers_.push_back(p);
    }
  }

  // h of the last layer at all steps.
  Variable<T> forward(Variable<T> x) const override { return run(x, {}, nullptr); }

  using Module<T>::operator();
  // The same from a state on, and the state at the end.
  RecurrentResult<T> operator()(Variable<T> x, const RecurrentState<T>& state) const {
    RecurrentState<T> end;
    const Variable<T> y = this->within(x, [&] { return run(x, state, &end); });
    return {y, end};
  }

 protected:
  struct Parameters {
    Parameter<T> weight_ih, weight_hh, bias_ih, bias_hh;
  };
  // y of a layer, and its last cell.
  virtual LstmResult<T> step(const Variable<T>& gx, const Variable<T>& weight,
                             const Variable<T>& bias, const RecurrentState<T>& state) const = 0;

  bool batch_first() const { return options_.batch_first; }

 private:
  Variable<T> run(Variable<T> x, const RecurrentState<T>& state, RecurrentState<T>* end) const {
    Tape<T>& tape = x.tape();
    std::vector<Variable<T>> h, c;
    for (int layer = 0; layer < options_.num_layers; ++layer) {
      const Parameters& p = layers_[static_cast<std::size_t>(layer)];
      if (layer > 0) x = dropout(x, options_.dropout);
      const auto of_layer = [&](const Variable<T>& all) {
        if (!all) return Variable<T>{};
        tape.check(all.shape().rank() == 3 && all.shape()[0] == options_.num_layers,
                   "expected a state (", options_.num_layers, ", N, ", hidden_, "), got ",
                   all.shape());
        return reshape(narrow(all, 0, layer, 1), Shape{all.shape()[1], all.shape()[2]});
      };
      const Variable<T> gx = linear(x, tape.parameter(p.weight_ih), tape.parameter(p.bias_ih));
      const LstmResult<T> result = step(gx, tape.parameter(p.weight_hh), tape.parameter(p.bias_hh),
                                        {of_layer(state.h), of_layer(state.c)});
      x = result.y;
      if (!end) continue;
      const int axis = options_.batch_first ? 1 : 0;
      const std::int64_t samples = x.shape()[1 - axis];
      h.push_back(reshape(narrow(x, axis, x.shape()[axis] - 1, 1), Shape{1, samples, hidden_}));
      if (result.cell) c.push_back(reshape(result.cell, Shape{1, samples, hidden_}));
    }
    if (end) end->h = h.size() == 1 ? h[0] : cat(std::span<const Variable<T>>(h), 0);
    if (end && !c.empty()) end->c = c.size() == 1 ? c[0] : cat(std::span<const Variable<T>>(c), 0);
    return x;
  }

  std::int64_t hidden_;
  RecurrentOptions options_;
  std::vector<Parameters> layers_;
};

template <class T>
class GRU : public RecurrentBase<T> {
 public:
  GRU(const Scope<T>& scope, std::int64_t input_size, std::int64_t hidden_size,
      const RecurrentOptions& options = {})
      : RecurrentBase<T>(scope, "GRU", 3, input_size, hidden_size, options) {}

 protected:
  LstmResult<T> step(const Variable<T>& gx, const Variable<T>& weight, const Variable<T>& bias,
                     const RecurrentState<T>& state) const override {
    return {gru(gx, weight, bias, state.h, this->batch_first()), {}};
  }
};

template <class T>
class LSTM : public RecurrentBase<T> {
 public:
  LSTM(const Scope<T>& scope, std::int64_t input_size, std::int64_t hidden_size,
       const RecurrentOptions& options = {})
      : RecurrentBase<T>(scope, "LSTM", 4, input_size, hidden_size, options) {}

 protected:
  LstmResult<T> step(const Variable<T>& gx, const Variable<T>& weight, const Variable<T>& bias,
                     const RecurrentState<T>& state) const override {
    return lstm(gx, weight, bias, state.h, state.c, this->batch_first());
  }
};

}  // namespace anther::inline v0_1
