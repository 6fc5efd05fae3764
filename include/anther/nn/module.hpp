// What layers and models are made of: a scope that names parameters, and a layer's base.
//
//   struct Net : Module<float> {
//     explicit Net(const Scope<float>& scope)
//         : Module(scope, "Net"), hidden(scope / "hidden", 4, 16), out(scope / "out", 16, 3) {}
//     Variable<float> forward(Variable<float> x) const override { return out(relu(hidden(x))); }
//     Linear<float> hidden, out;
//   };
//   ParameterStore<float> parameters;
//   Net net(parameters);
//   parameters.initialize(seed);
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "anther/autograd/tape.hpp"

namespace anther::inline v0_1 {

// A place in a model: the store, and the path of the layer that is being built there. The root is
// the store itself; scope / "name" is the place of a layer of that name.
template <class T>
class Scope {
 public:
  Scope(ParameterStore<T>& store) : store_(&store) {}  // NOLINT: a store is the root's scope

  Scope operator/(std::string_view name) const { return Scope(store_, path_of(name)); }
  Scope operator/(int number) const { return Scope(store_, path_of(std::to_string(number))); }

  Parameter<T> parameter(std::string_view name, const ParameterOptions& options) const {
    return {store_, store_->add_parameter(path_, name, options)};
  }
  Buffer<T> buffer(std::string_view name, const ParameterOptions& options) const {
    return {store_, store_->add_buffer(path_, name, options)};
  }
  // The name of a counter of batches, which files of weights hold (PyTorch's num_batches_tracked).
  void counter(std::string_view name) const { store_->add_counter(path_, name); }

  ParameterStore<T>& store() const { return *store_; }
  // The path: stages.0.1.ffn; empty for the model itself.
  const std::string& path() const { return path_; }

 private:
  Scope(ParameterStore<T>* store, std::string path) : store_(store), path_(std::move(path)) {}
  std::string path_of(std::string_view name) const {
    return path_.empty() ? std::string(name) : path_ + "." + std::string(name);
  }

  ParameterStore<T>* store_;
  std::string path_;
};

// A layer or a model: parameters, and what it does with them. Calling it is const: whether it
// trains or evaluates, its randomness and its running statistics belong to the tape.
template <class T>
class Module {
 public:
  // type: the name that the summary shows. traits: what the module is to code that walks over the
  // model: a stage, its head, a container.
  Module(const Scope<T>& scope, std::string_view type, const ModuleTraits& traits = {})
      : store_(&scope.store()), path_(scope.path()), type_(type), traits_(traits) {
    store_->add_module({path_, type_, traits});
  }
  virtual ~Module() = default;

  // What the layer does; x is a feature map (N, H, W, C), tokens (N, n, C) or rows (N, C).
  virtual Variable<T> forward(Variable<T> x) const = 0;

  // forward(x), with the layer's path in front of every message.
  Variable<T> operator()(Variable<T> x) const {
    return within(x, [&] { return forward(x); });
  }

  // The store of its parameters. Those of this module are within path().
  ParameterStore<T>& store() const { return *store_; }
  const std::string& path() const { return path_; }
  const std::string& type() const { return type_; }

 protected:
  // What compute() gives, as this layer's result of x: what a layer with further inputs calls.
  template <class Compute>
  Variable<T> within(const Variable<T>& x, const Compute& compute) const {
    Tape<T>& tape = x.tape();
    tape.enter(path_, type_, traits_, x.shape());
    try {
      const Variable<T> y = compute();
      tape.leave(&y);
      return y;
    } catch (...) {
      tape.leave(nullptr);
      throw;
    }
  }

 private:
  ParameterStore<T>* store_;
  std::string path_, type_;
  ModuleTraits traits_;
};

// A layer whose kind is chosen at run time. It may be absent, and then does nothing.
template <class T>
class AnyModule {
 public:
  AnyModule() = default;
  template <class Layer>
  AnyModule(std::unique_ptr<Layer> layer) : layer_(std::move(layer)) {}  // NOLINT: any layer is one

  Variable<T> operator()(Variable<T> x) const { return layer_ ? (*layer_)(x) : x; }
  explicit operator bool() const { return layer_ != nullptr; }

 private:
  std::unique_ptr<const Module<T>> layer_;
};

// Layers one after another, named by their numbers: 0, 1, 2, ...
template <class T>
class Sequential : public Module<T> {
 public:
  explicit Sequential(const Scope<T>& scope, ModuleTraits traits = {})
      : Module<T>(scope, "Sequential", (traits.container = true, traits)), scope_(scope) {}

  // Adds Layer<T>(its scope, arguments...): net.add<Linear>(4, 16).
  template <template <class> class Layer, class... Arguments>
  Sequential& add(Arguments&&... arguments) {
    layers_.emplace_back(std::make_unique<Layer<T>>(scope_ / static_cast<int>(layers_.size()),
                                                    std::forward<Arguments>(arguments)...));
    return *this;
  }

  Variable<T> forward(Variable<T> x) const override {
    for (const AnyModule<T>& layer : layers_) x = layer(x);
    return x;
  }

 private:
  Scope<T> scope_;
  std::vector<AnyModule<T>> layers_;
};

}  // namespace anther::inline v0_1
