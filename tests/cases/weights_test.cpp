// Weights files as people have them: of another program, under other names, or no weights at all;
// and texts with what editors put ahead of them.
#include <doctest/doctest.h>

#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "anther/io/csv.hpp"
#include "anther/io/file.hpp"
#include "anther/io/safetensors.hpp"
#include "anther/models/loaded_model.hpp"
#include "anther/models/models.hpp"
#include "tests/io/temporary_folder.hpp"

namespace {

using namespace anther;
using namespace std::string_view_literals;

void write(const std::filesystem::path& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

TEST_CASE("what is no safetensors file is named, with what to do about it") {
  const TemporaryFolder folder;
  const auto error = [&](std::string_view bytes) {
    write(folder / "model.safetensors", bytes);
    return error_of([&] { io::SafetensorsFile(folder / "model.safetensors"); });
  };
  const std::pair<std::string_view, std::vector<std::string>> files[] = {
      {"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345678\n",
       {"Git LFS pointer", "git lfs pull"}},
      {"<!DOCTYPE html>\n<html><head>", {"HTML page", "download"}},
      {"\xEF\xBB\xBF\n  <!doctype HTML>", {"HTML page"}},
      {"<html lang=\"en\">", {"HTML page"}},
      {"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code>", {"XML file"}},
      {"Entry not found", {"text file", "download"}},
      {"PK\3\4\0\0\0\0\0\0archive/data.pkl", {"zip archive", ".pth", "convert_pth.py"}},
      {"\x80\2}q\0X\5\0\0\0", {"Python pickle", ".pth", "convert_pth.py"}},
      {"\x80\4\x95\x10\0\0\0\0\0\0\0"sv, {"Python pickle"}},
      {"GGUF\3\0\0\0\0\0\0\0"sv, {"GGUF"}},
      {"\x89HDF\r\n\x1A\n\0\0\0\0"sv, {"HDF5", "Keras"}},
      {"\x08\x07\x12\x07pytorch\x1A\x05", {"ONNX"}},
      {"\x1C\0\0\0TFL3\0\0\0\0"sv, {"TensorFlow Lite"}},
      {"\x93NUMPY\1\0v\0{'descr'"sv, {"NumPy"}},
      {"\x1F\x8B\x08\0\0\0\0\0\0\3"sv, {"gzip"}},
      {"{\"metadata\": {\"total_size\": 5}, \"weight_map\": {}}", {"JSON file", "index"}},
      {"\x89PNG\r\n\x1A\n\0\0\0\rIHDR"sv, {"picture"}},
  };
  for (const auto& [bytes, parts] : files) {
    const std::string text = error(bytes);
    for (const std::string& part : parts) {
      CAPTURE(text);
      CHECK(contains(text, part));
    }
    CHECK(contains(text, "model.safetensors: expected weights as a safetensors file, got "));
  }
  CHECK(contains(error(""), "got an empty file: a download"));
  CHECK(contains(error("\0\0\0\0\0\0\0\0\0\0"sv), "got a file of zeros: a download"));
  CHECK(contains(error("\xFF\xFE\xFD\xFC\xFB\xFA\xF9\xF8\xF7"), "the first 8 bytes give a header"));
}

struct Net {
  ParameterStore<float> store;
  std::unique_ptr<Module<float>> module;
  Net() {
    module = registered_model("lenet5").make(store, {{"num_classes", 10}});
    store.initialize(7);
  }
};

using Extra = std::vector<std::pair<std::string, Shape>>;

// The net's weights under other names, with more beside them.
void write_renamed(const std::filesystem::path& path, const Net& net,
                   const std::vector<std::string>& prefixes, const Extra& extra = {}) {
  std::vector<std::vector<float>> memory;
  std::vector<std::pair<std::string, Shape>> names;
  for (const std::string& prefix : prefixes)
    for (std::size_t i = 0; i < net.store.parameters().size(); ++i) {
      const ParameterInfo& info = net.store.parameters()[i];
      memory.push_back(
          to_torch_order<float>(info, net.store.slice_of(net.store.values(), static_cast<int>(i))));
      // Of several copies only the first has the values.
      if (prefix != prefixes.front())
        for (float& value : memory.back()) value += 1;
      names.push_back({prefix + info.name, info.torch_shape()});
    }
  for (const auto& [name, shape] : extra) {
    memory.emplace_back(static_cast<std::size_t>(shape.numel()), 3.0f);
    names.push_back({name, shape});
  }
  std::vector<io::SafetensorsTensor> tensors;
  for (std::size_t i = 0; i < names.size(); ++i)
    tensors.push_back({names[i].first, names[i].second, std::span<const float>(memory[i])});
  io::write_safetensors(path, tensors);
}

// What is said; the weights are loaded and compared.
std::string unwrapped(const std::filesystem::path& path, const Net& net) {
  io::SafetensorsFile file(path);
  const std::string said = unwrap_names(file, registered_model("lenet5"), net.store);
  Net other;
  other.store.initialize(8);
  load_weights(file, other.store,
               {.names = names_in(registered_model("lenet5"), file, other.store)});
  CHECK(std::ranges::equal(other.store.values(), net.store.values()));
  return said;
}

TEST_CASE("prefixes that wrappers leave are found, said and taken off") {
  const TemporaryFolder folder;
  const Net net;
  const auto path = folder / "w.safetensors";
  for (const std::string prefix :
       {"_orig_mod.", "module.", "model.", "ema.", "module._orig_mod.", "_orig_mod.module.",
        "ema_model.module.", "state_dict.", "student.backbone.", "net."}) {
    CAPTURE(prefix);
    write_renamed(path, net, {prefix});
    CHECK(unwrapped(path, net) == "The prefix '" + prefix + "' is taken off the names.");
  }
  write_renamed(path, net, {""});
  CHECK(unwrapped(path, net) == "");
}

TEST_CASE("a folder for weights: a run's, or what to give in its place") {
  const TemporaryFolder folder;
  const auto make = [&](const std::string& file) {
    std::filesystem::create_directories((folder / file).parent_path());
    write(folder / file, "x");
  };
  const auto error = [&](const char* name) { return error_of([&] { weights_of(folder / name); }); };
  make("data/train/a/1.png");
  CHECK(contains(error("data"),
                 "data: expected a file of weights (.safetensors) or the folder of a "
                 "run, which has weights/best.safetensors; this folder has none"));
  make("run/args.json");
  CHECK(contains(error("run"), "run: this run has no weights yet"));
  make("runs/1/weights/last.safetensors");
  CHECK(weights_of(folder / "runs/1") == folder / "runs/1/weights/last.safetensors");
  make("runs/1/weights/best.safetensors");
  CHECK(weights_of(folder / "runs/1") == folder / "runs/1/weights/best.safetensors");
  CHECK(contains(error("runs"), "There is " + (folder / "runs/1").string()));
  make("hub/model.safetensors");
  make("hub/config.json");
  CHECK(contains(error("hub"), "There is " + (folder / "hub/model.safetensors").string()));
  CHECK(weights_of(folder / "nothing") == folder / "nothing");  // opening it says so
}

TEST_CASE("what stands beside the weights is passed over") {
  const TemporaryFolder folder;
  const Net net;
  const auto path = folder / "w.safetensors";
  write_renamed(path, net, {"module."}, {{"n_averaged", {}}});
  CHECK(unwrapped(path, net) ==
        "The prefix 'module.' is taken off the names. Passed over: 'n_averaged'.");
  write_renamed(path, net, {"model."},
                {{"criterion.weight", {10}}, {"train_acc.total", {}}, {"model.total_ops", {1}}});
  CHECK(contains(unwrapped(path, net), "Passed over: 'criterion.weight' and 2 more."));
  write_renamed(path, net, {""}, {{"total_ops", {1}}, {"n_averaged", {}}});
  CHECK(contains(unwrapped(path, net), " and 1 more."));
  // Both kinds of weights: those that were trained, whichever comes first.
  for (const std::vector<std::string>& prefixes :
       {std::vector<std::string>{"model.", "ema_model."}, {"net.", "ema."}, {"", "ema.module."}}) {
    write_renamed(path, net, prefixes);
    const std::string said = unwrapped(path, net);
    CAPTURE(said);
    CHECK(contains(said, "Passed over: "));
    if (!prefixes[0].empty()) CHECK(contains(said, "weights under '" + prefixes[1] + "' as well"));
  }
}

TEST_CASE("weights of another model are still refused") {
  const TemporaryFolder folder;
  const Net net;
  const auto path = folder / "w.safetensors";
  write_renamed(path, net, {"module."}, {{"module.another.weight", {3}}});
  CHECK(contains(error_of([&] { unwrapped(path, net); }), "not of this model: another.weight"));
  write_renamed(path, net, {}, {{"module.a.weight", {3}}, {"module.b.weight", {3}}});
  CHECK(contains(error_of([&] { unwrapped(path, net); }), "missing: "));
}

TEST_CASE("a byte order mark is no part of a text") {
  const TemporaryFolder folder;
  const auto path = folder / "names.txt";
  using Lines = std::vector<std::string>;
  write(path, "\xEF\xBB\xBFrose\r\ntulip\r\n");
  CHECK(io::read_lines(path) == Lines{"rose", "tulip"});
  write(path, "\xEF\xBB\xBFrose\ntulip\n\n\r\n");
  CHECK(io::read_lines(path) == Lines{"rose", "tulip"});
  write(path, "rose\n\ntulip");
  CHECK(io::read_lines(path) == Lines{"rose", "", "tulip"});
  write(path, "\xEF\xBB\xBF");
  CHECK(io::read_lines(path).empty());
  for (const std::string_view text : {"\xFF\xFEr\0o\0s\0"sv, "\xFE\xFF\0r\0o\0s"sv}) {
    write(path, text);
    CHECK(contains(error_of([&] { io::read_lines(path); }), "names.txt: expected text in UTF-8"));
  }
  write(path, "\xEF\xBB\xBFstep,loss\r\n1,2\r\n");
  CHECK(io::read_csv(path).column("step") == std::vector<double>{1});
}

}  // namespace
