// What train_flowers' options say of the model and of its training.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "anther/models/models.hpp"
#include "anther/optim/adagrad.hpp"
#include "anther/optim/adam.hpp"
#include "anther/optim/lion.hpp"
#include "anther/optim/rmsprop.hpp"
#include "anther/optim/sgd.hpp"
#include "anther/train/fit.hpp"
#include "anther/train/model_card.hpp"
#include "anther/train/objectives.hpp"
#include "train_options.hpp"

// The options of the model that flags give.
inline nlohmann::json given_model_options(const TrainOptions& o) {
  nlohmann::json options = nlohmann::json::object();
  if (!o.options.empty()) {
    options = nlohmann::json::parse(o.options, nullptr, false);
    anther::detail::check(options.is_object(),
                          "options: expected a JSON object like '{\"dropout\": 0.1}', got ",
                          o.options);
  }
  const TrainOptions defaults;
  const auto take = [&](const char* key, const auto& value, const auto& none) {
    if (value != none) options[key] = value;
  };
  take("preset", o.preset, defaults.preset);
  take("table", o.table, defaults.table);
  take("norm", o.norm, defaults.norm);
  take("local_norm", o.local_norm, defaults.local_norm);
  take("ffn", o.ffn, defaults.ffn);
  take("init", o.init, defaults.init);
  take("gn_groups", o.gn_groups, defaults.gn_groups);
  take("ffn_kernel", o.ffn_kernel, defaults.ffn_kernel);
  take("drop_path", o.drop_path, defaults.drop_path);
  return options;
}

// The model of the registry, with the options that flags give; those that they leave alone are the
// model's own. Throws where the model has no such option.
inline anther::ChosenModel chosen_model(const TrainOptions& o, std::int64_t num_classes) {
  nlohmann::json options = given_model_options(o);
  anther::detail::check(!options.contains("num_classes"),
                        "options: expected no num_classes, as the data have ", num_classes,
                        ", got ", o.options);
  const anther::RegisteredModel* model = anther::choose_model(o.model).model;
  if (model->has_option("num_classes")) options["num_classes"] = num_classes;
  return anther::choose_model(o.model, options);
}

// What the variants of a model differ in, by its name in the registry.
inline std::set<std::string> options_of_variants(const anther::RegisteredModel& model) {
  std::set<std::string> keys;
  for (const auto& [name, options] : model.traits.variants) {
    const nlohmann::json all = model.complete(options);
    for (const auto& [other_name, other_options] : model.traits.variants) {
      const nlohmann::json other = model.complete(other_options);
      for (const auto& [key, value] : other.items())
        if (all.at(key) != value) keys.insert(key);
    }
  }
  return keys;
}

// The name of the variant that a model of these options is; that of the model, if it is none.
inline std::string variant_of(const std::string& architecture, const nlohmann::json& options) {
  const anther::RegisteredModel& model = anther::registered_model(architecture);
  const nlohmann::json all = model.complete(options);
  const std::set<std::string> keys = options_of_variants(model);
  for (const auto& [name, of_variant] : model.traits.variants) {
    const nlohmann::json own = model.complete(of_variant);
    if (std::ranges::all_of(keys, [&](const auto& key) { return own.at(key) == all.at(key); }))
      return name;
  }
  return architecture;
}

// Gives what the options leave open of the model the values of the weights to start from (null:
// there are none, or they do not say); gives these, as JSON, or "". Where the two are of different
// models, it is an error later on, once the model is made.
inline std::string complete_model(TrainOptions& o, const anther::ModelCard* start) {
  if (o.model.empty()) o.model = start ? variant_of(start->architecture, start->options) : "xxs";
  if (!start) return "";
  const nlohmann::json given = given_model_options(o);
  const anther::ChosenModel chosen = anther::choose_model(o.model, given);
  if (chosen.model->name != start->architecture) return "";
  for (const auto& [key, value] : given.items())
    if (!chosen.options.contains(key)) return "";  // a preset, say: it stands for all the others
  std::set<std::string> fixed;
  if (o.model != chosen.model->name) fixed = options_of_variants(*chosen.model);
  const nlohmann::json own = chosen.model->function_options(start->options);
  nlohmann::json taken = nlohmann::json::object();
  for (const auto& [key, value] : own.items())
    if (!given.contains(key) && !fixed.contains(key) && chosen.options.at(key) != value)
      taken[key] = value;
  if (taken.empty()) return "";
  nlohmann::json options =
      o.options.empty() ? nlohmann::json::object() : nlohmann::json::parse(o.options);
  options.update(taken);
  o.options = options.dump();
  return taken.dump();
}

inline anther::AdamOptions adam_options(const TrainOptions& o) {
  anther::AdamOptions options{
      .eps = o.opt_eps, .weight_decay = o.weight_decay, .decoupled = o.opt == "adamw"};
  if (!o.opt_betas.empty()) options.beta1 = o.opt_betas[0], options.beta2 = o.opt_betas[1];
  return options;
}

inline anther::LionOptions lion_options(const TrainOptions& o) {
  anther::LionOptions options{.weight_decay = o.weight_decay};
  if (!o.opt_betas.empty()) options.beta1 = o.opt_betas[0], options.beta2 = o.opt_betas[1];
  return options;
}

inline anther::SGDOptions sgd_options(const TrainOptions& o) {
  return {.momentum = o.momentum, .nesterov = o.opt == "sgd", .weight_decay = o.weight_decay};
}

inline std::unique_ptr<anther::Optimizer<float>> make_optimizer(
    const TrainOptions& o, anther::ParameterStore<float>& store) {
  using namespace anther;
  if (o.opt == "rmsprop")
    return std::make_unique<RMSprop<float>>(
        store,
        RMSpropOptions{.eps = o.opt_eps, .weight_decay = o.weight_decay, .momentum = o.momentum});
  if (o.opt == "adagrad")
    return std::make_unique<Adagrad<float>>(
        store, AdagradOptions{.weight_decay = o.weight_decay, .eps = o.opt_eps});
  if (o.opt == "lion") return std::make_unique<Lion<float>>(store, lion_options(o));
  if (o.opt == "sgd" || o.opt == "momentum")
    return std::make_unique<SGD<float>>(store, sgd_options(o));
  return std::make_unique<Adam<float>>(store, adam_options(o));
}

// images: that an epoch has, which the steps of the schedule follow from. logit_offsets: of the
// loss, a number for each class, or none.
inline anther::FitOptions fit_options(const TrainOptions& o, std::int64_t images,
                                      std::vector<double> logit_offsets = {}) {
  const std::int64_t batch = o.batch_size * o.grad_accum_steps;
  const auto steps = [&](double epochs) {
    return static_cast<std::int64_t>(epochs * static_cast<double>((images + batch - 1) / batch) +
                                     0.5);
  };
  return {.objective = anther::cross_entropy_objective(
              {.label_smoothing = o.smoothing, .logit_offsets = std::move(logit_offsets)}),
          .metrics = {anther::top_k(1), anther::top_k(5)},
          .epochs = o.epochs,
          .batch_size = o.batch_size,
          .grad_accum_steps = o.grad_accum_steps,
          .schedule = {.kind = anther::schedule_kind(o.sched),
                       .lr = o.lr,
                       .min_lr = o.min_lr,
                       .warmup_lr = o.warmup_lr,
                       .warmup_steps = steps(o.warmup_epochs),
                       .steps = steps(static_cast<double>(o.epochs)),
                       .decay_steps = steps(o.decay_epochs),
                       .decay_rate = o.decay_rate},
          .clip_grad = o.clip_grad,
          .val_interval = o.val_interval,
          .patience = o.patience,
          .time_budget = o.time_budget * 60,
          .trainer = {.micro_batch = o.micro_batch,
                      .batch_norm_group = o.bn_group,
                      .lanes = o.lanes,
                      .recompute = o.grad_checkpointing,
                      .amp = o.amp,
                      .seed = static_cast<std::uint64_t>(o.seed)}};
}
