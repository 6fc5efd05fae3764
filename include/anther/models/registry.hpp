// Models by name: what turns "architecture" and "options" of a weights file into a module.
//
//   struct MyNet : Module<float> {
//     struct Options {
//       std::int64_t hidden = 64, num_classes = 10;
//       template <class Self, class Visit>
//       static void members(Self& self, const Visit& visit) {
//         visit("hidden", self.hidden);
//         visit("num_classes", self.num_classes);
//       }
//     };
//     MyNet(const Scope<float>& scope, const Options& options);
//     const Options& options() const;
//     ...
//   };
//   const RegisterModel<MyNet> my_net("my_net");
//
// From then on, weights that are saved of a MyNet say so, and every program that is linked with
// this line can make one. An Options may also have:
//
//   num_classes                     what programs set to the number of classes of the data
//   void complete()                 gives what follows from other options its value
//   void validate() const           throws if a value makes no sense, with its name
//   Shape sample_shape(std::int64_t size) const
//                                   of one sample, for images of `size` pixels a side
//   struct Start with members, and static Options of(const Start&)
//                                   short names of whole sets of options, which single ones change
//
// A module without Options is made by its scope alone.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <typeindex>
#include <typeinfo>
#include <utility>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/core/once.hpp"
#include "anther/io/json_members.hpp"
#include "anther/io/safetensors_header.hpp"
#include "anther/nn/module.hpp"
#include "anther/train/weight_names.hpp"

#if !defined(__cpp_rtti)
#error "Anther's registry of models knows them by their types: compile without -fno-rtti"
#endif

namespace anther::inline v0_1 {

// What a model brings along when it is registered.
struct ModelTraits {
  // Short names of the model with some of its options.
  std::map<std::string, nlohmann::json> variants = {};
  std::vector<WeightScheme> schemes = {};
  // Options that matter only in training: weights also fit a model with other values of them.
  std::vector<std::string> training_options = {};
  // Options that a file of weights itself tells: where it has the tensor of this name, they are so.
  std::map<std::string, nlohmann::json> told_by = {};
};

// A model of the registry.
struct RegisteredModel {
  std::string name;
  ModelTraits traits;
  std::type_index type;
  // All options; those that `given` does not have are at their defaults. Throws, with the key, if
  // one is unknown, of another type or makes no sense.
  std::function<nlohmann::json(const nlohmann::json& given)> complete;
  std::function<std::unique_ptr<Module<float>>(const Scope<float>&, const nlohmann::json& options)>
      make;
  std::function<nlohmann::json(const Module<float>&)> options_of;
  // The shape of a sample; of rank 0 if the model does not say it.
  std::function<Shape(const nlohmann::json& options, std::int64_t size)> sample_shape;

  bool has_option(const std::string& key) const {
    return complete(nlohmann::json::object()).contains(key);
  }
  // The options on which it depends what the model computes with its weights, without its number of
  // classes.
  nlohmann::json function_options(const nlohmann::json& options) const {
    nlohmann::json json = complete(options);
    json.erase("num_classes");
    for (const std::string& key : traits.training_options) json.erase(key);
    return json;
  }
  // The names that a store's weights have in a file with these tensors: those of the scheme that
  // `has` recognises, or else the store's own.
  template <class T>
  WeightNames names_for(const ParameterStore<T>& store,
                        const std::function<bool(const std::string& tensor)>& has) const {
    for (const WeightScheme& scheme : traits.schemes)
      if (has(scheme.recognised_by)) return scheme.names(weight_names(store));
    return {};
  }
  template <class T>
  WeightNames names_of(std::string_view scheme_name, const ParameterStore<T>& store) const {
    for (const WeightScheme& scheme : traits.schemes)
      if (scheme.name == scheme_name) return scheme.names(weight_names(store));
    detail::fail("names: ", name, " has none called ", scheme_name);
  }
};

// All registered models. Safe to use while other static objects are made.
class ModelRegistry {
 public:
  static ModelRegistry& global() {
    static ModelRegistry registry;
    return registry;
  }

  // Throws if another model has the name. Adding the same one again changes nothing.
  void add(RegisteredModel model) {
    const std::lock_guard lock(mutex_);
    const auto [at, added] = models_.try_emplace(model.name, model);
    detail::check(added || at->second.type == model.type, "register model: another has the name ",
                  model.name);
  }

  // Null if there is none.
  const RegisteredModel* find(std::string_view name) const {
    const std::lock_guard lock(mutex_);
    const auto found = models_.find(name);
    return found == models_.end() ? nullptr : &found->second;
  }
  // What a module is; null if it is not registered.
  const RegisteredModel* find(const Module<float>& module) const {
    const std::lock_guard lock(mutex_);
    const std::type_index type = typeid(module);
    for (const auto& [name, model] : models_)
      if (model.type == type) return &model;
    return nullptr;
  }
  // The model that has a variant of this name; null if none has.
  const RegisteredModel* find_variant(const std::string& variant) const {
    const std::lock_guard lock(mutex_);
    for (const auto& [name, model] : models_)
      if (model.traits.variants.contains(variant)) return &model;
    return nullptr;
  }
  // Names, with their variants: "my_net (small, large), other_net".
  std::string names() const {
    const std::lock_guard lock(mutex_);
    std::string all;
    for (const auto& [name, model] : models_) {
      all += (all.empty() ? "" : ", ") + name;
      std::string variants;
      for (const auto& [variant, options] : model.traits.variants)
        variants += (variants.empty() ? "" : ", ") + variant;
      if (!variants.empty()) all += " (" + variants + ")";
    }
    return all.empty() ? "none" : all;
  }

 private:
  std::map<std::string, RegisteredModel, std::less<>> models_;  // their addresses stay
  mutable std::mutex mutex_;
};

// The model of this name. Throws, listing all names, if there is none.
ANTHER_ONCE const RegisteredModel& registered_model(std::string_view name) {
  const RegisteredModel* model = ModelRegistry::global().find(name);
  detail::check(model != nullptr, "model: expected one of ", ModelRegistry::global().names(),
                ", got ", io::printable(name));
  return *model;
}

// A model and its options.
struct ChosenModel {
  const RegisteredModel* model = nullptr;
  nlohmann::json options = {};  // complete

  std::unique_ptr<Module<float>> make(const Scope<float>& scope) const {
    return model->make(scope, options);
  }
  Shape sample_shape(std::int64_t size) const { return model->sample_shape(options, size); }
};

// A model by its own name or that of a variant, with more options on top.
ANTHER_ONCE ChosenModel choose_model(const std::string& name,
                                     const nlohmann::json& options = nlohmann::json::object()) {
  nlohmann::json given = nlohmann::json::object();
  const RegisteredModel* model = ModelRegistry::global().find(name);
  if (!model && (model = ModelRegistry::global().find_variant(name)))
    given = model->traits.variants.at(name);
  if (!model) model = &registered_model(name);  // throws
  if (!options.is_null()) {                     // {} is null
    detail::check(options.is_object(), "model options: expected a JSON object, got ",
                  options.type_name());
    given.update(options);
  }
  return {model, model->complete(given)};
}

// The options of a type from JSON, as RegisterModel reads them.
template <io::HasMembers Options>
Options options_from_json(const nlohmann::json& json) {
  Options options;
  if constexpr (requires { typename Options::Start; }) {
    typename Options::Start start;
    io::check_keys<Options, typename Options::Start>("model options", json);
    io::set_members(json, start);
    options = Options::of(start);
  } else {
    io::check_keys<Options>("model options", json);
  }
  io::set_members(json, options);
  if constexpr (requires { options.complete(); }) options.complete();
  if constexpr (requires { options.validate(); }) options.validate();
  return options;
}

// Puts a model into the registry. It is made by M(scope, options) or M(scope).
template <std::derived_from<Module<float>> M>
class RegisterModel {
 public:
  explicit RegisterModel(const std::string& name, const ModelTraits& traits = {}) {
    if constexpr (requires { typename M::Options; }) {
      using Options = typename M::Options;
      ModelRegistry::global().add(
          {.name = name,
           .traits = traits,
           .type = typeid(M),
           .complete =
               [](const nlohmann::json& given) {
                 return io::members_to_json(options_from_json<Options>(given));
               },
           .make = [](const Scope<float>& scope,
                      const nlohmann::json& json) -> std::unique_ptr<Module<float>> {
             return std::make_unique<M>(scope, options_from_json<Options>(json));
           },
           .options_of =
               [](const Module<float>& module) {
                 return io::members_to_json<Options>(dynamic_cast<const M&>(module).options());
               },
           .sample_shape = [](const nlohmann::json& json, std::int64_t size) -> Shape {
             if constexpr (requires(const Options& o) { o.sample_shape(size); })
               return options_from_json<Options>(json).sample_shape(size);
             else
               return {};
           }});
    } else {
      const auto none = [](const nlohmann::json& given) {
        detail::check(given.is_object() && given.empty(), "model options: expected none, got ",
                      given.size());
        return nlohmann::json::object();
      };
      ModelRegistry::global().add(
          {.name = name,
           .traits = traits,
           .type = typeid(M),
           .complete = none,
           .make = [](const Scope<float>& scope, const nlohmann::json&)
               -> std::unique_ptr<Module<float>> { return std::make_unique<M>(scope); },
           .options_of = [](const Module<float>&) { return nlohmann::json::object(); },
           .sample_shape = [](const nlohmann::json&, std::int64_t) -> Shape { return {}; }});
    }
  }
};

}  // namespace anther::inline v0_1
