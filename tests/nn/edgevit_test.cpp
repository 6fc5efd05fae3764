// EdgeViT's structure: the counts of its paper and of its authors' code, the options, the sizes.
// That its numbers are right is tested against PyTorch in tests/models.
#include "anther/models/edgevit/edgevit.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "anther/nn/summary.hpp"
#include "anther/ops/cross_entropy.hpp"
#include "tests/io/temporary_folder.hpp"

namespace {

using namespace anther;
using namespace anther::detail;
using namespace anther::kernels;

struct Count {
  std::int64_t parameters = 0, macs = 0;
  friend bool operator==(const Count&, const Count&) = default;
};
std::string to_string(const Count& count) {
  return text_of(with_commas(count.parameters), "; ", with_commas(count.macs));
}
doctest::String toString(const Count& count) {
  return to_string(count).c_str();
}

// All that is in the layer of this path; of the whole model for "".
Count count_of(const ModelSummary& summary, const std::string& path) {
  Count count;
  for (const LayerSummary& layer : summary.layers)
    if (path.empty() || layer.path == path || layer.path.starts_with(path + ".")) {
      count.parameters += layer.parameters;
      count.macs += layer.macs;
    }
  return count;
}

struct Variant {
  std::string name;
  std::array<Count, 4> stages;
  Count end, all;
  std::array<Count, 3> classes;  // 102, 103, 10
  std::size_t tensors;
  int norms;
  std::int64_t statistics;                             // of BatchNorm, in the original
  std::array<std::map<std::string, Count>, 4> blocks;  // one of each kind in a stage
};

const Variant variants[] = {
    {"xxs",
     {{{33'552, 91'135'296},
       {130'176, 96'413'184},
       {1'443'744, 254'735'712},
       {2'170'656, 108'690'624}}},
     {289'576, 288'000},
     {4'067'704, 551'262'816},
     {{{3'808'182, 551'004'192}, {3'808'471, 551'004'480}, {3'781'594, 550'977'696}}},
     218,
     34,
     2'736,
     {{{{"PatchEmbed", {1'836, 5'419'008}},
        {"LocalAgg", {14'652, 44'481'024}},
        {"GlobalBlock", {17'064, 41'235'264}}},
       {{"PatchEmbed", {10'584, 8'128'512}},
        {"LocalAgg", {55'224, 42'561'792}},
        {"GlobalBlock", {64'368, 45'722'880}}},
       {{"PatchEmbed", {41'904, 8'128'512}},
        {"LocalAgg", {214'128, 41'602'176}},
        {"GlobalBlock", {253'152, 40'600'224}}},
       {{"PatchEmbed", {166'752, 8'128'512}}, {"GlobalBlock", {1'001'952, 50'281'056}}}}}},
    {"xs",
     {{{57'408, 156'172'800},
       {228'864, 167'838'720},
       {3'949'920, 696'638'880},
       {2'148'096, 106'780'800}}},
     {385'768, 384'000},
     {6'770'056, 1'127'815'200},
     {{{6'424'326, 1'127'470'368}, {6'424'711, 1'127'470'752}, {6'388'906, 1'127'435'040}}},
     204,
     32,
     4'224,
     {{{{"PatchEmbed", {2'448, 7'225'344}},
        {"LocalAgg", {25'296, 77'371'392}},
        {"GlobalBlock", {29'664, 71'576'064}}},
       {{"PatchEmbed", {18'720, 14'450'688}},
        {"LocalAgg", {96'672, 74'812'416}},
        {"GlobalBlock", {113'472, 78'575'616}}},
       {{"PatchEmbed", {92'880, 18'063'360}},
        {"LocalAgg", {587'280, 114'495'360}},
        {"GlobalBlock", {698'400, 111'696'480}}},
       {{"PatchEmbed", {369'792, 18'063'360}}, {"GlobalBlock", {1'778'304, 88'717'440}}}}}},
    {"s",
     {{{57'408, 156'172'800},
       {439'008, 321'226'752},
       {6'521'280, 1'149'022'560},
       {5'704'704, 284'215'680}}},
     {385'768, 384'000},
     {13'108'168, 1'911'021'792},
     {{{12'762'438, 1'910'676'960}, {12'762'823, 1'910'677'344}, {12'727'018, 1'910'641'632}}},
     334,
     51,
     6'528,
     {}},
};

TEST_CASE("edgevit: parameters and multiply-accumulates of every variant, stage and block") {
  for (const Variant& variant : variants)
    for (const std::string preset : {"improved", "original"}) {
      CAPTURE(variant.name);
      CAPTURE(preset);
      const bool original = preset == "original";
      ParameterStore<float> store;
      const EdgeViT<float> model(store, edgevit_options(variant.name, 1000, preset));
      const ModelSummary summary = summarize(model, {1, 224, 224, 3});
      CHECK(Count{summary.trainable_parameters, summary.macs} == variant.all);
      CHECK(store.parameter_count() == variant.all.parameters);
      CHECK(store.parameters().size() == variant.tensors);
      CHECK(summary.other_parameters == (original ? variant.statistics : 0));
      CHECK(count_of(summary, "").macs == variant.all.macs);
      CHECK(count_of(summary, "").parameters == variant.all.parameters + summary.other_parameters);

      // The running statistics stand in their layers' rows; they are no part of the table.
      std::map<std::string, std::int64_t> statistics;
      int norms = 0;
      for (const LayerSummary& layer : summary.layers) {
        norms += layer.name.find("Norm") != std::string::npos;
        if (!layer.name.starts_with("BatchNorm2d")) continue;
        for (std::string path = layer.path; !path.empty();
             path.resize(path.rfind('.') == std::string::npos ? 0 : path.rfind('.')))
          statistics[path] += layer.parameters / 2;
      }
      CHECK(norms == variant.norms);
      const auto count = [&](const std::string& path) {
        Count c = count_of(summary, path);
        c.parameters -= statistics[path];
        return c;
      };
      for (std::size_t s = 0; s < 4; ++s) CHECK(count(text_of("stages.", s)) == variant.stages[s]);
      const Count norm = count("norm"), head = count("head");
      CHECK(Count{norm.parameters + head.parameters, norm.macs + head.macs} == variant.end);

      // S has the blocks of XS, only more of them.
      const auto& blocks = variant.name == "s" ? variants[1].blocks : variant.blocks;
      int checked = 0;
      for (const LayerSummary& layer : summary.layers) {
        const std::string type = layer.name.substr(0, layer.name.find('-'));
        if (type != "PatchEmbed" && type != "LocalAgg" && type != "GlobalBlock") continue;
        const std::size_t stage = static_cast<std::size_t>(layer.path[7] - '0');
        REQUIRE(blocks[stage].count(type) == 1);
        CHECK(count(layer.path) == blocks[stage].at(type));
        ++checked;
      }
      std::int64_t expected = 4;
      for (std::size_t s = 0; s < 4; ++s)
        expected += model.options().depths[s] * (model.options().sr_ratios[s] > 1 ? 2 : 1);
      CHECK(checked == expected);

      const std::int64_t classes[] = {102, 103, 10};
      for (std::size_t i = 0; i < 3; ++i) {
        ParameterStore<float> other;
        const EdgeViT<float> small(other, edgevit_options(variant.name, classes[i], preset));
        const ModelSummary s = summarize(small, {1, 224, 224, 3});
        CHECK(Count{s.trainable_parameters, s.macs} == variant.classes[i]);
      }
    }
}

TEST_CASE("edgevit: the numbers of blocks that early ports took") {
  const std::pair<const char*, Count> rows[] = {{"xxs", {4'067'704, 551'262'816}},
                                                {"xs", {7'262'680, 990'340'800}},
                                                {"s", {8'758'504, 1'369'920'672}}};
  for (const auto& [variant, count] : rows) {
    ParameterStore<float> store;
    const EdgeViT<float> model(store, edgevit_options(variant, 1000, "improved", true));
    const ModelSummary summary = summarize(model, {1, 224, 224, 3});
    CHECK(Count{summary.trainable_parameters, summary.macs} == count);
  }
}

TEST_CASE("edgevit: the summary as text") {
  ParameterStore<float> store;
  const EdgeViT<float> model(store, edgevit_options("xxs", 102));
  const std::string text = to_string(summarize(model, {1, 224, 224, 3}));
  for (const char* part :
       {"Total params: 3,808,182\n", "Trainable params: 3,808,182\n", "Non-trainable params: 0\n",
        "Total mult-adds: 551,004,192\n", "Input size (MB): 0.57\n", "Params size (MB): 14.53\n",
        "[[1, 3, 224, 224]]", " GroupNorm-34 ", " GlobalBlock-7 ", "Layer (type)"})
    CHECK_MESSAGE(contains(text, part), part);
  CHECK_FALSE(contains(text, "Sequential"));

  ParameterStore<float> second;
  const EdgeViT<float> original(second, edgevit_options("xxs", 1000, "original"));
  const std::string other = to_string(summarize(original, {1, 224, 224, 3}));
  CHECK(contains(other, "Total params: 4,070,440\n"));
  CHECK(contains(other, "Non-trainable params: 2,736\n"));
  CHECK(contains(other, "Params size (MB): 15.53\n"));
}

TEST_CASE("edgevit: the maps' shapes at 224 pixels") {
  ParameterStore<float> store;
  const EdgeViT<float> model(store, edgevit_options("s", 7));
  const ModelSummary summary = summarize(model, {2, 224, 224, 3});
  const std::map<std::string, Shape> expected = {{"stages.0.0", {2, 56, 56, 48}},
                                                 {"stages.0.2", {2, 56, 56, 48}},
                                                 {"stages.1.4", {2, 28, 28, 96}},
                                                 {"stages.2.10", {2, 14, 14, 240}},
                                                 {"stages.3.3", {2, 7, 7, 384}},
                                                 {"stages.0.2.attn.qkv", {2, 14, 14, 144}},
                                                 {"stages.1.2.attn.qkv", {2, 14, 14, 288}},
                                                 {"stages.2.2.attn.qkv", {2, 7, 7, 720}},
                                                 {"stages.3.1.attn.qkv", {2, 7, 7, 1152}},
                                                 {"norm", {2, 7, 7, 384}},
                                                 {"head", {2, 7}}};
  std::size_t seen = 0;
  for (const LayerSummary& layer : summary.layers) {
    const auto row = expected.find(layer.path);
    if (row == expected.end()) continue;
    CAPTURE(layer.path);
    CHECK(layer.output == row->second);
    ++seen;
  }
  CHECK(seen == expected.size());
}

TEST_CASE("edgevit: Paddle's and the authors' initialisation") {
  struct Row {
    const char* name;
    Init paddle, official;
  };
  using std::sqrt;
  const Init zero = Init::constant(0), one = Init::constant(1);
  const Row rows[] = {
      {"stages.0.0.conv.weight", Init::normal(sqrt(2 / 48.0)), Init::uniform(1 / sqrt(48))},
      {"stages.0.0.conv.bias", zero, Init::uniform(1 / sqrt(48))},
      {"stages.0.0.norm.weight", one, one},
      {"stages.0.0.norm.bias", zero, zero},
      {"stages.0.1.pos.weight", Init::normal(sqrt(2 / (9 * 36.0))), Init::uniform(1 / 3.0)},
      {"stages.0.1.pos.bias", zero, Init::uniform(1 / 3.0)},
      {"stages.0.1.dw.weight", Init::normal(sqrt(2 / (25 * 36.0))), Init::uniform(1 / 5.0)},
      {"stages.0.1.pw_in.weight", Init::normal(sqrt(2 / 36.0)), Init::uniform(1 / 6.0)},
      {"stages.0.1.ffn.reduce.weight", Init::normal(sqrt(2 / 144.0)), Init::uniform(1 / 12.0)},
      {"stages.0.2.attn.qkv.weight", Init::uniform(sqrt(6 / 144.0)), Init::truncated_normal(0.02)},
      {"stages.0.2.attn.qkv.bias", zero, zero},
      {"stages.0.2.attn.spread.weight", Init::uniform(sqrt(6 / (16 + 36 * 16.0))),
       Init::uniform(1 / 4.0)},
      {"stages.0.2.attn.spread.bias", zero, Init::uniform(1 / 4.0)},
      {"stages.3.1.attn.proj.weight", Init::uniform(sqrt(6 / 576.0)), Init::truncated_normal(0.02)},
      {"head.weight", Init::uniform(sqrt(6 / (288 + 102.0))), Init::truncated_normal(0.02)},
      {"head.bias", zero, zero},
  };
  for (const bool official : {false, true}) {
    EdgeViTOptions options = edgevit_options("xxs", 102);
    options.init = official ? edgevit::InitScheme::official : edgevit::InitScheme::paddle;
    ParameterStore<float> store;
    const EdgeViT<float> model(store, options);
    for (const Row& row : rows) {
      CAPTURE(row.name);
      const auto& all = store.parameters();
      const auto info = std::find_if(all.begin(), all.end(),
                                     [&](const ParameterInfo& p) { return p.name == row.name; });
      REQUIRE(info != all.end());
      const Init expected = official ? row.official : row.paddle;
      CHECK(static_cast<int>(info->init.kind) == static_cast<int>(expected.kind));
      CHECK(info->init.value == doctest::Approx(expected.value).epsilon(1e-12));
    }
  }
}

// A model small enough to run many of them.
EdgeViTOptions small_options() {
  EdgeViTOptions options = edgevit_options("xxs", 5);
  options.dims = {12, 24, 36, 48};
  options.depths = {1, 1, 1, 1};
  options.heads = {1, 2, 3, 4};
  return options;
}

bool all_finite(std::span<const float> values) {
  return std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); });
}

// Logits of two images in evaluation, and the gradients of a training pass: all finite, the logits
// of the two images different.
void run_model(const EdgeViTOptions& options, std::int64_t height, std::int64_t width) {
  ParameterStore<float> store;
  const EdgeViT<float> model(store, options);
  store.initialize(1);
  Tensor<float> images({2, height, width, options.in_channels});
  for (std::int64_t i = 0; i < images.size(); ++i)
    images[i] = static_cast<float>(uniform(RandomKey(2), static_cast<std::uint64_t>(i)));
  Tape<float> tape;
  tape.begin({.training = false, .backward = false});
  const Variable<float> logits = model(tape.input(images));
  CHECK(logits.shape() == Shape{2, options.num_classes});
  CHECK(all_finite(logits.value()));
  const auto classes = static_cast<std::size_t>(options.num_classes);
  CHECK_FALSE(std::ranges::equal(logits.value().first(classes), logits.value().last(classes)));

  tape.begin({.random = RandomKey(3)});
  const std::int32_t labels[] = {0, 1};
  const Variable<float> loss = cross_entropy<float>(model(tape.input(images)), labels);
  CHECK(std::isfinite(loss.item()));
  tape.zero_gradients();
  tape.backward(loss);
  CHECK(all_finite(tape.gradients()));
  CHECK(std::ranges::count(store.slice_of(tape.gradients(), 0), 0.0f) == 0);  // up to the first
}

TEST_CASE("edgevit: a model with every option runs forward and backward") {
  const edgevit::NormKind norms[] = {edgevit::NormKind::gn, edgevit::NormKind::ln,
                                     edgevit::NormKind::bn, edgevit::NormKind::in};
  for (const edgevit::NormKind norm : norms) {
    EdgeViTOptions options = small_options();
    options.norm = norm;
    run_model(options, 64, 64);
    for (const edgevit::NormKind local_norm : norms) {
      options.local_norm = local_norm;
      options.ffn = norm == local_norm ? edgevit::FfnKind::linear : edgevit::FfnKind::conv;
      CAPTURE(static_cast<int>(norm));
      CAPTURE(static_cast<int>(local_norm));
      run_model(options, 64, 64);
    }
  }
  const auto with = [](const auto& change) {
    EdgeViTOptions options = small_options();
    change(options);
    run_model(options, 64, 64);
  };
  with([](EdgeViTOptions& o) { o.gn_groups = 1; });
  with([](EdgeViTOptions& o) { o.gn_groups = 6; });
  with([](EdgeViTOptions& o) { o.ffn_kernel = 3; });
  with([](EdgeViTOptions& o) { o.ffn = edgevit::FfnKind::linear; });
  with([](EdgeViTOptions& o) { o.mlp_ratio = 2.5; });
  with([](EdgeViTOptions& o) { o.qkv_bias = false; });
  with([](EdgeViTOptions& o) { o.drop = 0.2; });
  with([](EdgeViTOptions& o) { o.drop_path = 0.2; });
  with([](EdgeViTOptions& o) { o.init = edgevit::InitScheme::official; });
  with([](EdgeViTOptions& o) { o.in_channels = 1; });
  with([](EdgeViTOptions& o) { o.sr_ratios = {2, 4, 1, 2}; });
  with([](EdgeViTOptions& o) { o.depths = {2, 0, 1, 3}; });
}

TEST_CASE("edgevit: images of any multiple of 32, wide ones too, and no others") {
  const EdgeViTOptions options = small_options();
  run_model(options, 96, 96);
  run_model(options, 160, 160);
  run_model(options, 64, 128);
  ParameterStore<float> store;
  const EdgeViT<float> model(store, options);
  Tape<float> tape;
  for (const Shape& wrong : {Shape{1, 200, 200, 3}, Shape{1, 64, 80, 3}, Shape{1, 0, 64, 3},
                             Shape{64, 64, 3}, Shape{1, 3, 224, 224}}) {
    tape.begin({.training = false, .backward = false, .dry_run = true});
    const std::string message = error_of([&] { (void)model(tape.input(wrong)); });
    CHECK(contains(message, wrong == Shape{1, 3, 224, 224} ? "got (1, 3, 224, 224)"
                                                           : "H and W multiples of 32"));
  }
}

TEST_CASE("edgevit: the shipped presets run at 64 pixels") {
  run_model(edgevit_options("xxs", 10), 64, 64);
  run_model(edgevit_options("xxs", 10, "original"), 64, 64);
  CHECK(contains(error_of([] { edgevit_options("m"); }), "xxs, xs or s, got m"));
  CHECK(contains(error_of([] { edgevit_options("xs", 10, "paper"); }),
                 "improved or original, got paper"));
  EdgeViTOptions odd = small_options();
  odd.dims[0] = 16;
  ParameterStore<float> store;
  CHECK(contains(error_of([&] { EdgeViT<float>(store, odd); }), "groups of 12"));
}

TEST_CASE("edgevit: options that make no sense are refused before anything is built of them") {
  const auto error = [](auto change) {
    EdgeViTOptions options = small_options();
    change(options);
    ParameterStore<float> store;
    return error_of([&] { EdgeViT<float>(store, options); });
  };
  constexpr std::int64_t huge = std::int64_t{1} << 40;
  using Options = EdgeViTOptions;
  CHECK(error([](Options&) {}).empty());
  CHECK(error([](Options& o) { o.dims[1] = huge; }) ==
        "dims: expected 1 to 65536, got 1099511627776");
  CHECK(error([](Options& o) { o.dims[0] = 0; }) == "dims: expected 1 to 65536, got 0");
  CHECK(error([](Options& o) { o.depths[3] = huge; }).starts_with("depths: expected 0 to 100"));
  CHECK(error([](Options& o) { o.depths[3] = -1; }).starts_with("depths: "));
  CHECK(error([](Options& o) { o.heads[2] = 0; }).starts_with("heads: "));
  CHECK(error([](Options& o) { o.sr_ratios[0] = 0; }).starts_with("sr_ratios: "));
  CHECK(error([](Options& o) { o.num_classes = 0; }).starts_with("num_classes: "));
  CHECK(error([](Options& o) { o.num_classes = huge; }).starts_with("num_classes: "));
  CHECK(error([](Options& o) { o.in_channels = 0; }).starts_with("in_channels: "));
  CHECK(error([](Options& o) { o.gn_groups = -1; }).starts_with("gn_groups: "));
  CHECK(error([](Options& o) { o.ffn_kernel = 2; }) == "ffn_kernel: expected 1 or 3, got 2");
  CHECK(error([](Options& o) { o.ffn_kernel = 5; }).starts_with("ffn_kernel: "));
  for (const double ratio : {0.0, -1.0, 1e300, std::nan("")})
    CHECK(error([&](Options& o) { o.mlp_ratio = ratio; }).starts_with("mlp_ratio: "));
}

TEST_CASE("edgevit: drop path rates rise linearly over the blocks") {
  EdgeViTOptions options = edgevit_options("xxs", 10);
  options.drop_path = 0.3;
  ParameterStore<float> store;
  const EdgeViT<float> model(store, options);
  Tape<float> tape;
  tape.begin({.training = true, .backward = false, .dry_run = true});
  model(tape.input(Shape{1, 64, 64, 3}));
  // The rates by the block's path: LocalAgg and GlobalBlock of one LGL block share theirs, and the
  // first block's, 0, leaves no op.
  std::map<std::string, std::vector<double>> rates;
  for (const auto& entry : tape.entries())
    if (std::string_view(entry.op->name) == "drop_path")
      rates[std::string(entry.layer)].push_back(
          static_cast<const DropAttributes*>(entry.attributes)->p);
  const std::map<std::string, double> expected = {
      {"stages.1.1", 0.05}, {"stages.1.2", 0.05}, {"stages.2.1", 0.1}, {"stages.2.2", 0.1},
      {"stages.2.3", 0.15}, {"stages.2.4", 0.15}, {"stages.2.5", 0.2}, {"stages.2.6", 0.2},
      {"stages.3.1", 0.25}, {"stages.3.2", 0.3}};
  CHECK(rates.size() == expected.size());
  for (const auto& row : expected) {
    CAPTURE(row.first);
    const std::vector<double>& found = rates[row.first + ".drop_path"];
    REQUIRE(found.size() == 2);
    CHECK(found[0] == doctest::Approx(row.second));
    CHECK(found[1] == doctest::Approx(row.second));
  }
}

TEST_CASE("lgl block: alone, it keeps the map's shape") {
  for (const std::int64_t r : {1, 2, 4})
    for (const edgevit::NormKind norm : {edgevit::NormKind::gn, edgevit::NormKind::ln}) {
      CAPTURE(r);
      ParameterStore<float> store;
      const edgevit::LglBlock<float> block(store, 24, 3, r, {.norm = norm}, 0.1);
      store.initialize(1);
      // Its local part is absent where r = 1.
      CHECK(store.parameters()[0].name == (r > 1 ? "local.pos.weight" : "global.pos.weight"));
      Tape<float> tape;
      tape.begin({.random = RandomKey(1)});
      Tensor<float> x({2, 8, 12, 24});
      for (std::int64_t i = 0; i < x.size(); ++i)
        x[i] = static_cast<float>(normal(RandomKey(4), static_cast<std::uint64_t>(i)));
      const Variable<float> y = block(tape.input(x));
      CHECK(y.shape() == x.shape());
      CHECK(all_finite(y.value()));
    }
  ParameterStore<float> store;
  const edgevit::LglBlock<float> block(store, 24, 3, 4);
  store.initialize(1);
  Tape<float> tape;
  tape.begin();
  CHECK(contains(error_of([&] {
                   (void)block(tape.input(Tensor<float>({1, 6, 8, 24})));
                 }),
                 "global: add: expected shapes that are equal"));
  ParameterStore<float> other;
  const edgevit::LglBlock<float> heads(other, 24, 5, 2);
  other.initialize(1);
  tape.begin();
  CHECK(contains(error_of([&] {
                   (void)heads(tape.input(Tensor<float>({1, 8, 8, 24})));
                 }),
                 "global.attn: self_attention: expected a number of heads that divides 24"));
}

}  // namespace
