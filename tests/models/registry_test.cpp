// Models by name: a program's own beside EdgeViT, from their options in JSON to a module and back.
#include "anther/models/registry.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "anther/models/edgevit/config.hpp"
#include "anther/models/loaded_model.hpp"
#include "anther/models/models.hpp"
#include "anther/optim/sgd.hpp"
#include "tests/io/temporary_folder.hpp"

namespace {

using namespace anther;
using namespace anther::io;

enum class Kind { relu, gelu };
constexpr auto choices_of(Kind) {
  return std::array{std::pair{Kind::relu, "relu"}, std::pair{Kind::gelu, "gelu"}};
}

struct SmallNet : Module<float> {
  struct Options {
    std::int64_t features = 4, hidden = 8, num_classes = 3;
    double scale = 1;
    bool bias = true;
    Kind kind = Kind::relu;
    std::vector<std::int64_t> more = {};
    std::optional<std::int64_t> extra = {};
    std::string title = "x";

    template <class Self, class Visit>
    static void members(Self& self, const Visit& visit) {
      visit("features", self.features);
      visit("hidden", self.hidden);
      visit("num_classes", self.num_classes);
      visit("scale", self.scale);
      visit("bias", self.bias);
      visit("kind", self.kind);
      visit("more", self.more);
      visit("extra", self.extra);
      visit("title", self.title);
    }
    void validate() const {
      detail::check(hidden > 0, "hidden: expected at least 1, got ", hidden);
    }
    Shape sample_shape(std::int64_t) const { return {features}; }
  };

  SmallNet(const Scope<float>& scope, const Options& o)
      : Module(scope, "SmallNet"),
        options_(o),
        in(scope / "in", o.features, o.hidden, {.bias = o.bias}),
        out(scope / "out", o.hidden, o.num_classes) {}
  Variable<float> forward(Variable<float> x) const override {
    x = in(x);
    return out(options_.kind == Kind::relu ? relu(x) : gelu(x));
  }
  const Options& options() const { return options_; }

 private:
  Options options_;
  Linear<float> in, out;
};
const RegisterModel<SmallNet> small_net("small_net", {.variants = {{"tiny_net", {{"hidden", 2}}}},
                                                      .training_options = {"title"}});

struct Plain : Module<float> {
  explicit Plain(const Scope<float>& scope) : Module(scope, "Plain"), fc(scope / "fc", 2, 2) {}
  Variable<float> forward(Variable<float> x) const override { return fc(x); }
  Linear<float> fc;
};
const RegisterModel<Plain> plain("plain");

struct Stranger : Plain {
  using Plain::Plain;
};

TEST_CASE("registry: a program's own model is made from JSON, and says what it is") {
  const ChosenModel chosen =
      choose_model("small_net", {{"hidden", 5}, {"kind", "gelu"}, {"more", {1, 2}}, {"extra", 7}});
  CHECK(chosen.options == nlohmann::json({{"features", 4},
                                          {"hidden", 5},
                                          {"num_classes", 3},
                                          {"scale", 1.0},
                                          {"bias", true},
                                          {"kind", "gelu"},
                                          {"more", {1, 2}},
                                          {"extra", 7},
                                          {"title", "x"}}));
  CHECK(chosen.sample_shape(99) == Shape{4});
  CHECK(chosen.model->has_option("num_classes"));
  CHECK_FALSE(chosen.model->has_option("depth"));
  ParameterStore<float> store;
  const auto module = chosen.make(store);
  CHECK(store.parameter_count() == 5 * 4 + 5 + 3 * 5 + 3);
  const ModelCard card = card_of(*module);
  CHECK(card.architecture == "small_net");
  CHECK(card.options == chosen.options);
}

TEST_CASE("registry: variants are short names, and options come on top") {
  CHECK(choose_model("tiny_net").options["hidden"] == 2);
  CHECK(choose_model("tiny_net", {{"num_classes", 9}}).options["num_classes"] == 9);
  CHECK(choose_model("s").model->name == "edgevit");
  CHECK(choose_model("s").options == to_json(edgevit_options("s")));
  CHECK(choose_model("xs", {{"preset", "original"}, {"num_classes", 7}}).options ==
        to_json(edgevit_options("xs", 7, "original")));
  CHECK(choose_model("edgevit", {{"variant", "s"}, {"table", true}}).options ==
        to_json(edgevit_options("s", 1000, "improved", true)));
}

TEST_CASE("registry: what is wrong is named") {
  const auto message = [](const char* name, const nlohmann::json& options) {
    return error_of([&] { choose_model(name, options); });
  };
  CHECK(contains(message("small_net", nlohmann::json::array()),
                 "model options: expected a JSON object"));
  CHECK(choose_model("small_net", {}).options == choose_model("small_net").options);
  CHECK(contains(message("no_net", {}), "expected one of "));
  const std::string unknown = message("no_net", nlohmann::json::object());
  CHECK(contains(unknown, "expected one of "));
  CHECK(contains(unknown, "edgevit (s, xs, xxs)"));
  CHECK(contains(unknown, "small_net (tiny_net)"));
  CHECK(contains(unknown, ", got no_net"));
  CHECK(message("small_net", {{"hiden", 3}}) == "model options: unknown key hiden");
  CHECK(message("small_net", {{"preset", "original"}}) == "model options: unknown key preset");
  CHECK(message("small_net", {{"hidden", 2.5}}) == "hidden: expected a whole number");
  CHECK(
      contains(message("small_net", {{"hidden", 1ull << 63}}), "hidden: expected a whole number"));
  CHECK(message("small_net", {{"hidden", 0}}) == "hidden: expected at least 1, got 0");
  CHECK(message("small_net", {{"scale", "1"}}) == "scale: expected a number, got string");
  CHECK(message("small_net", {{"bias", 1}}) == "bias: expected true or false, got number");
  CHECK(message("small_net", {{"kind", "tanh"}}) == "kind: expected one of relu, gelu, got tanh");
  CHECK(message("small_net", {{"kind", 3}}) == "kind: expected text, got number");
  CHECK(message("small_net", {{"more", {1, 2.5}}}) == "more: expected a whole number");
  CHECK(message("small_net", {{"more", 1}}) ==
        "more: expected a list of whole numbers, got number");
  CHECK(message("plain", {{"hidden", 3}}) == "model options: expected none, got 1");
}

TEST_CASE("registry: a name is one model's") {
  RegisterModel<SmallNet> again("small_net");  // the same once more
  CHECK(contains(error_of([] { RegisterModel<Plain> other("small_net"); }),
                 "another has the name small_net"));
}

TEST_CASE("registry: options that matter in training alone are no part of the function") {
  const RegisteredModel& model = registered_model("small_net");
  const auto function = [&](const nlohmann::json& json) { return model.function_options(json); };
  CHECK(function({{"title", "a"}}) == function({{"title", "b"}, {"num_classes", 9}}));
  CHECK(function({{"hidden", 4}}) != function({{"hidden", 5}}));
  // What follows from another option is compared as it is chosen.
  const RegisteredModel& edgevit = registered_model("edgevit");
  CHECK(edgevit.function_options({{"norm", "ln"}, {"drop", 0.1}}) ==
        edgevit.function_options({{"norm", "ln"}, {"local_norm", "bn"}, {"init", "official"}}));
}

TEST_CASE("registry: weights of a program's own model are loaded by name") {
  const TemporaryFolder folder;
  const auto path = folder / "a.safetensors";
  ParameterStore<float> store;
  const auto module = choose_model("small_net", {{"hidden", 5}}).make(store);
  store.initialize(3);
  save_weights<float>(path, store, std::as_const(store).values(), to_metadata(card_of(*module)));
  const LoadedModel loaded(path);
  CHECK(loaded.module->type() == "SmallNet");
  CHECK(loaded.card.class_names.empty());
  CHECK(loaded.card.preprocess.is_null());
  CHECK(sample_shape_of(loaded.card) == Shape{4});
  CHECK(std::ranges::equal(loaded.store.values(), std::as_const(store).values()));
}

TEST_CASE("registry: a model without options; and one that is not registered, saved by its type") {
  const TemporaryFolder folder;
  const auto path = folder / "a.safetensors";
  ParameterStore<float> store, other;
  const auto module = choose_model("plain").make(store);
  store.initialize(3);
  ModelCard card = card_of(*module);
  CHECK(card.architecture == "plain");
  CHECK(contains(error_of([&] { sample_shape_of(card); }), "expected the shape of a sample"));
  card.sample = {2};
  save_weights<float>(path, store, std::as_const(store).values(), to_metadata(card));
  CHECK(sample_shape_of(LoadedModel(path).card) == Shape{2});

  const Stranger stranger(other);
  other.initialize(1);
  card = card_of(stranger);
  CHECK(card.architecture == "Plain");
  CHECK(card.options.is_null());
  save_weights<float>(path, other, std::as_const(other).values(), to_metadata(card));
  CHECK(contains(error_of([&] { LoadedModel model(path); }),
                 "a.safetensors: metadata: the model \"Plain\" is not registered in this program"));
  load_weights(SafetensorsFile(path), store);  // by hand they fit
}

}  // namespace
