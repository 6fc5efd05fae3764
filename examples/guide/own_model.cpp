// A model of your own: a small residual network for images, with options and a name.
#include <anther/anther.hpp>
#include <anther/models/registry.hpp>
#include <cstdio>
#include <memory>
#include <vector>

using namespace anther;

// x + f(x), f two convolutions. A layer is a class with a forward function.
struct Residual : Module<float> {
  Residual(const Scope<float>& scope, std::int64_t channels)
      : Module(scope, "Residual", {.stage = true}),
        conv1(scope / "conv1", channels, channels, {.kernel_size = 3, .padding = 1}),
        norm(scope / "norm", channels),
        conv2(scope / "conv2", channels, channels, {.kernel_size = 3, .padding = 1}) {}
  Variable<float> forward(Variable<float> x) const override {
    return x + conv2(relu(norm(conv1(x))));
  }
  Conv2d<float> conv1;
  BatchNorm2d<float> norm;
  Conv2d<float> conv2;
};

class SmallNet : public Module<float> {
 public:
  struct Options {
    std::int64_t channels = 16, depth = 2, num_classes = 10;
    // By this list options are written to weights files and read from them.
    template <class Self, class Visit>
    static void members(Self& self, const Visit& visit) {
      visit("channels", self.channels);
      visit("depth", self.depth);
      visit("num_classes", self.num_classes);
    }
    Shape sample_shape(std::int64_t size) const { return {size, size, 3}; }
  };

  SmallNet(const Scope<float>& scope, const Options& options)
      : Module(scope, "SmallNet"),
        options_(options),
        stem_(scope / "stem", 3, options.channels, {.kernel_size = 3, .stride = 2, .padding = 1}),
        blocks_(scope / "blocks"),
        head_(scope / "head", options.channels, options.num_classes, {.traits = {.head = true}}) {
    for (std::int64_t i = 0; i < options.depth; ++i) blocks_.add<residual>(options.channels);
  }
  // (N, H, W, 3) -> (N, num_classes)
  Variable<float> forward(Variable<float> x) const override {
    return head_(global_average_pool(blocks_(stem_(x))));
  }
  const Options& options() const { return options_; }

 private:
  template <class>
  using residual = Residual;  // Sequential::add takes layers of any scalar type

  Options options_;
  Conv2d<float> stem_;
  Sequential<float> blocks_;
  Linear<float> head_;
};

// From here on every program that is linked with this file knows the model by its name.
const RegisterModel<SmallNet> small_net("small_net", {.variants = {{"deep_net", {{"depth", 3}}}}});

int main() {
  ParameterStore<float> parameters;
  const auto model = choose_model("deep_net", {{"num_classes", 5}}).make(parameters);
  parameters.initialize(1);
  std::printf("%s\n", to_string(summarize(*model, {1, 32, 32, 3})).c_str());
  const std::vector<float> image(32 * 32 * 3, 0.5f);
  Inference<float> inference(*model, {1, 32, 32, 3});
  for (const float logit : inference(image)) std::printf("%.4f ", double{logit});
  std::printf("\n");
}
