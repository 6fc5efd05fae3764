#include "anther/io/safetensors.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "anther/core/random.hpp"
#include "limited_file_size.hpp"
#include "temporary_folder.hpp"

namespace {

namespace fs = std::filesystem;
using anther::Shape;
using anther::io::Dtype;
using anther::io::SafetensorsFile;
using anther::io::SafetensorsTensor;

// A file as the format has it, whatever the header says.
std::string file_bytes(const std::string& header, std::size_t data_bytes) {
  std::string bytes(8, '\0');
  const std::uint64_t length = header.size();
  std::memcpy(bytes.data(), &length, 8);
  return bytes + header + std::string(data_bytes, '\0');
}

std::string error_on_opening(const std::string& bytes) {
  const TemporaryFolder folder;
  const fs::path path = folder / "hostile.safetensors";
  anther::io::write_file_atomically(path, bytes);
  const std::string message = error_of([&] { SafetensorsFile{path}; });
  if (!message.empty()) CHECK(message.starts_with(path.string() + ": "));
  return message;
}

TEST_CASE("safetensors: checksums are zlib's, and no concern of other programs") {
  const TemporaryFolder folder;
  const auto path = folder / "a.safetensors";
  const std::vector<float> values = {1, 2, 3};
  const std::vector<anther::io::SafetensorsTensor> tensors = {
      {"b", {3}, std::span<const float>(values)}, {"a", {0}, std::span<const float>()}};
  anther::io::write_safetensors(path, tensors, {{"key", "text"}}, {.checksums = true});
  CHECK(anther::io::crc32("123456789", 9) == 0xCBF43926u);
  CHECK(anther::io::crc32("6789", 4, anther::io::crc32("12345", 5)) == 0xCBF43926u);
  const anther::io::SafetensorsFile file(path);
  CHECK(file.metadata().size() == 1);
  CHECK(file.entry("a").crc32 == 0u);
  // What Python's zlib.crc32(struct.pack("<3f", 1, 2, 3)) gives.
  CHECK(file.entry("b").crc32 == 0xB20E96B1u);
  CHECK(anther::io::read_text_file(path).find("\"crc32\":\"") != std::string::npos);

  // Another program puts a prefix before all names, or another name, and keeps the metadata.
  const auto renamed = [&](const std::string& a, const std::string& b) {
    const auto copy = folder / "copy.safetensors";
    const std::vector<anther::io::SafetensorsTensor> others = {
        {b, {3}, std::span<const float>(values)}, {a, {0}, std::span<const float>()}};
    const std::string text = anther::io::read_text_file(path);
    const std::size_t at = text.find("\"crc32\":\"") + 9;
    anther::io::write_safetensors(
        copy, others, {{"key", "text"}, {"crc32", text.substr(at, text.find('"', at) - at)}});
    return error_of([&] { anther::io::SafetensorsFile(copy).check_all_bytes(); });
  };
  CHECK(renamed("module.a", "module.b") == "");
  CHECK(renamed("ema.module.a", "ema.module.b") == "");
  CHECK(renamed("module.a", "model.b").find("names, shapes or metadata") != std::string::npos);
  CHECK(renamed("a", "c").find("names, shapes or metadata") != std::string::npos);

  // One number changed.
  std::string bytes = anther::io::read_text_file(path);
  bytes[bytes.size() - 2] ^= 1;
  anther::io::write_file_atomically(path, bytes);
  const anther::io::SafetensorsFile damaged(path);
  const std::string expected = path.string() +
                               ": tensor 'b': its numbers are not those that were written: the "
                               "file is damaged, or another program has changed it and kept the "
                               "metadata \"crc32\"";
  CHECK(error_of([&] { damaged.read<float>("b"); }) == expected);
  CHECK(error_of([&] { damaged.read<double>("b"); }) == expected);
  CHECK(error_of([&] { damaged.check_all_bytes(); }) == expected);
  CHECK(damaged.read<float>("a").size() == 0);
}

TEST_CASE("safetensors: what is written is read back") {
  const TemporaryFolder folder;
  const fs::path path = folder / "a.safetensors";
  const std::vector<float> weight = {1.5f, -2.0f, 0.1f, 3e38f, 1e-42f, -0.0f};
  const std::vector<double> exact = {1.0 / 3.0};
  const std::vector<std::int64_t> steps = {980, -7};
  const std::vector<std::uint8_t> image = {0, 128, 255};
  const std::vector<float> none;
  const std::vector<SafetensorsTensor> tensors = {
      {.name = "head.weight", .shape = {2, 3}, .values = weight},
      {.name = "exact", .shape = {}, .values = exact},
      {.name = "steps", .shape = {2}, .values = steps},
      {.name = "image", .shape = {1, 3, 1}, .values = image},
      {.name = "half", .shape = {3}, .values = std::span(weight).first(3), .dtype = Dtype::f16},
      {.name = "none", .shape = {0, 4}, .values = none}};
  const std::map<std::string, std::string> metadata = {{"classes", "[\"rose\", \"ros\u00e9\"]"},
                                                       {"a\n\"\\", ""}};
  anther::io::write_safetensors(path, tensors, metadata);

  const SafetensorsFile file(path);
  CHECK(file.metadata() == metadata);
  CHECK(file.entries().size() == 6);
  CHECK(file.entries()[0].name == "steps");  // the longest elements first
  CHECK(file.find("nothing") == nullptr);
  CHECK(error_of([&] { file.read<float>("nothing"); }) ==
        path.string() + ": expected a tensor 'nothing', got none of that name among 6");

  const auto read = file.read<float>("head.weight");
  CHECK(read.shape() == Shape{2, 3});
  CHECK(std::memcmp(read.data(), weight.data(), 24) == 0);
  CHECK(file.entry("head.weight").dtype == Dtype::f32);
  CHECK(file.read<double>("exact")[0] == exact[0]);
  CHECK(file.read<double>("exact").shape().rank() == 0);
  CHECK(file.read<float>("exact")[0] == 1.0f / 3.0f);
  CHECK(file.read<std::int64_t>("steps")[1] == -7);
  CHECK(file.read<std::uint8_t>("image")[2] == 255);
  CHECK(file.read<float>("image")[1] == 128.0f);
  CHECK(file.read<float>("half")[1] == -2.0f);
  CHECK(file.read<float>("half")[2] == doctest::Approx(0.1f).epsilon(1e-3));
  CHECK(file.read<float>("none").shape() == Shape{0, 4});
  CHECK(error_of([&] { file.read<std::int64_t>("head.weight"); }) ==
        path.string() +
            ": tensor 'head.weight': element 0: expected a value that I64 can hold, got 1.5");

  std::vector<float> small(5);
  CHECK(contains(error_of([&] { file.read_into<float>(file.entry("head.weight"), small); }),
                 "tensor 'head.weight' has 6 elements, to be read into 5"));
  // The data start at a multiple of 8 bytes, and the same call gives the same bytes.
  std::uint64_t length = 0;
  std::memcpy(&length, anther::io::read_text_file(path).data(), 8);
  CHECK(length % 8 == 0);
  anther::io::write_safetensors(folder / "b.safetensors", tensors, metadata);
  CHECK(anther::io::read_text_file(path) == anther::io::read_text_file(folder / "b.safetensors"));
}

TEST_CASE("safetensors: long tensors in every dtype, from several threads") {
  const TemporaryFolder folder;
  const fs::path path = folder / "a.safetensors";
  const anther::RandomKey key(1);
  constexpr std::int64_t n = 40'001;  // more than two chunks
  std::vector<double> values(n);
  for (std::int64_t i = 0; i < n; ++i)
    values[static_cast<std::size_t>(i)] =
        static_cast<double>(anther::uniform_below(key, static_cast<std::uint64_t>(i), 2));
  std::vector<SafetensorsTensor> tensors;
  for (int i = 0; i < 13; ++i)
    tensors.push_back({.name = to_string(static_cast<Dtype>(i)),
                       .shape = {n},
                       .values = values,
                       .dtype = static_cast<Dtype>(i)});
  anther::io::write_safetensors(path, tensors);
  const SafetensorsFile file(path);
  CHECK(file.metadata().empty());
  std::vector<int> wrong(13);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < 13; ++i)
    threads.emplace_back([&, i] {
      const auto back = file.read<float>(to_string(static_cast<Dtype>(i)));
      for (std::int64_t k = 0; k < n; ++k)
        wrong[i] += back[k] != static_cast<float>(values[static_cast<std::size_t>(k)]);
    });
  for (auto& thread : threads) thread.join();
  for (const int count : wrong) CHECK(count == 0);
}

TEST_CASE("safetensors: writing what cannot be written") {
  const TemporaryFolder folder;
  const fs::path path = folder / "a.safetensors";
  const std::vector<float> values = {1.0f, 70000.0f};
  const auto message = [&](std::vector<SafetensorsTensor> tensors,
                           std::map<std::string, std::string> metadata = {}) {
    return error_of([&] { anther::io::write_safetensors(path, tensors, metadata); });
  };
  const SafetensorsTensor good{.name = "w", .shape = {2}, .values = values};
  CHECK(message({good, good}) == path.string() + ": two tensors named 'w'");
  CHECK(contains(message({{.name = "__metadata__", .shape = {2}, .values = values}}),
                 "two tensors named '__metadata__'"));
  CHECK(contains(message({{.name = "w", .shape = {3}, .values = values}}),
                 "tensor 'w': shape (3) has 3 elements, got 2"));
  CHECK(contains(message({{.name = "w", .shape = {2}, .values = values, .dtype = Dtype::f16}}),
                 "tensor 'w': element 1: expected a value that F16 can hold, got 70000"));
  CHECK(contains(message({{.name = "\xFF", .shape = {2}, .values = values}}), "UTF-8"));
  CHECK(contains(message({good}, {{"key", "\xC3"}}), "UTF-8"));
  CHECK(folder.entries() == 0);

  anther::io::write_safetensors(path, std::vector{good});
  const std::string old = anther::io::read_text_file(path);
  const std::vector<float> large(1000);
  std::string full;
  {
    const LimitedFileSize limit(2000);
    full = message({{.name = "w", .shape = {1000}, .values = large}});
  }
  CHECK(full == path.string() + ": cannot write: File too large");
  CHECK(anther::io::read_text_file(path) == old);
  CHECK(folder.entries() == 1);
}

TEST_CASE("safetensors: files that are none") {
  CHECK(contains(error_on_opening(""), "got an empty file"));
  CHECK(contains(error_on_opening("1234567"), "expected a safetensors file, got 7 bytes"));
  CHECK(contains(error_on_opening(std::string("\xFF\xD7\xFE\xE0 a noise", 12)),
                 "the first 8 bytes give a header of "));
  const std::string good =
      file_bytes(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8);
  CHECK(error_on_opening(good).empty());
  // Cut off anywhere, or longer.
  for (std::size_t size = 0; size < good.size(); ++size) {
    CAPTURE(size);
    CHECK(!error_on_opening(good.substr(0, size)).empty());
  }
  CHECK(
      contains(error_on_opening(good.substr(0, 30)), "give a header of 54 bytes, the file has 30"));
  CHECK(contains(error_on_opening(good + '\0'), "the tensors take 8 bytes, the file has 9"));
  CHECK(contains(error_on_opening(std::string(8, '\xFF') + good.substr(8)),
                 "a header of 18446744073709551615 bytes"));
  CHECK(contains(error_on_opening(file_bytes("", 0)), "got a file of zeros"));
  CHECK(contains(error_on_opening(file_bytes("", 0) + "rest"), "give a header of 0 bytes"));
}

TEST_CASE("safetensors: a header over the cap is refused before it is read") {
  const TemporaryFolder folder;
  const fs::path path = folder / "large.safetensors";
  anther::io::write_file_atomically(path, file_bytes("", 0));
  fs::resize_file(path, 200'000'008);  // a hole: takes no space
  std::string start(8, '\0');
  const std::uint64_t length = 100'000'001;
  std::memcpy(start.data(), &length, 8);
  {
    FILE* file = std::fopen(path.c_str(), "r+b");
    REQUIRE(file != nullptr);
    std::fwrite(start.data(), 1, 8, file);
    std::fclose(file);
  }
  CHECK(contains(error_of([&] { SafetensorsFile{path}; }), "(and a header at most 100000000)"));
}

TEST_CASE("safetensors: a file that shrinks while it is open") {
  const TemporaryFolder folder;
  const fs::path path = folder / "a.safetensors";
  const std::vector<float> values(100);
  anther::io::write_safetensors(
      path, std::vector<SafetensorsTensor>{{.name = "w", .shape = {100}, .values = values}});
  const SafetensorsFile file(path);
  fs::resize_file(path, fs::file_size(path) - 1);
  CHECK(contains(error_of([&] { file.read<float>("w"); }), path.string()));
  CHECK(contains(error_of([&] { file.read<double>("w"); }), path.string()));
}

struct Hostile {
  const char* what;
  std::string header;
  std::size_t data_bytes;
  const char* message;  // a part of it
};

// A tensor's header with one part replaced.
std::string tensor(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"("w":{"dtype":)" + dtype + R"(,"shape":)" + shape + R"(,"data_offsets":)" + offsets +
         "}";
}
std::string only(const std::string& content) {
  return "{" + content + "}";
}

TEST_CASE("safetensors: hostile headers") {
  const std::string w = tensor("\"F32\"", "[2]", "[0,8]");
  const std::string v = R"("v":{"dtype":"U8","shape":[4],"data_offsets":)";
  const std::string max = "9223372036854775807";
  std::string deep = "{\"w\":{\"shape\":";
  deep.append(200'000, '[');
  std::string deep_objects;
  for (int i = 0; i < 200'000; ++i) deep_objects += "{\"a\":";
  std::string zero = only(w);
  zero[zero.size() - 1] = '\0';

  const Hostile table[] = {
      {"valid", only(w), 8, ""},
      {"valid: padding, spaces", only(w) + "  \n ", 8, ""},
      {"valid: no tensor", "{}", 0, ""},
      {"valid: empty metadata", R"({"__metadata__":{}})", 0, ""},
      {"valid: metadata last", only(w + R"(,"__metadata__":{"k":"v"})"), 8, ""},
      {"valid: an empty tensor", only(tensor("\"F32\"", "[0,3]", "[0,0]")), 0, ""},
      {"valid: a scalar", only(tensor("\"F64\"", "[]", "[0,8]")), 8, ""},
      {"valid: out of order", only(v + "[8,12]}," + w), 12, ""},

      {"not JSON", "hello", 0, "expected it to start with '{'"},
      {"a space first", " " + only(w), 8, "expected it to start with '{'"},
      {"a byte order mark", "\xEF\xBB\xBF" + only(w), 8, "expected it to start with '{'"},
      {"an array", "[1]", 0, "expected it to start with '{'"},
      {"not closed", "{" + w, 8, "not valid JSON at byte"},
      {"more after it", only(w) + only(w), 8, "not valid JSON at byte"},
      {"a zero byte", zero, 8, "zero byte"},
      {"padded with zeros", only(w) + std::string(4, '\0'), 8, "zero byte"},
      {"a comment", "{/**/" + w + "}", 8, "not valid JSON"},
      {"a trailing comma", "{" + w + ",}", 8, "not valid JSON"},
      {"not UTF-8", "{\"\xFF\":1}", 8, "not valid JSON"},
      {"half a surrogate", R"({"\ud800":1})", 8, "not valid JSON"},
      {"nested arrays", deep, 8, "shape: expected whole numbers of at least 0, got an array"},
      {"nested objects", deep_objects, 8, "tensor 'a': expected dtype, shape and data_offsets"},

      {"a name twice", only(w + "," + w), 8, "'w' is there twice"},
      {"a name twice, once escaped", only(w + "," + R"("\u0077":{})"), 8, "'w' is there twice"},
      {"metadata twice", R"({"__metadata__":{},"__metadata__":{}})", 0,
       "'__metadata__' is there twice"},
      {"a key of the metadata twice", R"({"__metadata__":{"k":"v","k":"v"}})", 0,
       "the metadata have 'k' twice"},
      {"dtype twice", R"({"w":{"dtype":"F32","dtype":"F32"}})", 0, "'dtype' is there twice"},
      {"offsets twice", R"({"w":{"data_offsets":[0,8],"data_offsets":[0,8]}})", 8,
       "tensor 'w': 'data_offsets' is there twice"},

      {"no dtype", R"({"w":{"shape":[2],"data_offsets":[0,8]}})", 8, "tensor 'w': has no dtype"},
      {"no shape", R"({"w":{"dtype":"F32","data_offsets":[0,8]}})", 8, "tensor 'w': has no shape"},
      {"no offsets", R"({"w":{"dtype":"F32","shape":[2]}})", 8, "tensor 'w': has no data_offsets"},
      {"another key", R"({"w":{"dtype":"F32","scale":1}})", 8,
       "tensor 'w': expected dtype, shape and data_offsets, got 'scale'"},
      {"a number for a tensor", R"({"w":3})", 8,
       "tensor 'w': expected an object with a tensor's dtype, shape and data_offsets, got a "
       "number"},
      {"null for a tensor", R"({"w":null})", 8, "data_offsets, got null"},
      {"metadata not an object", R"({"__metadata__":"x"})", 0,
       "the metadata: expected an object of strings, got a string"},
      {"a number in the metadata", R"({"__metadata__":{"k":1}})", 0,
       "the metadata: k: expected a string, got a number"},
      {"an object in the metadata", R"({"__metadata__":{"k":{}}})", 0,
       "expected a string, got an object"},

      {"an unknown dtype", only(tensor("\"F7\"", "[2]", "[0,8]")), 8, "tensor 'w': dtype 'F7'"},
      {"a dtype in lower case", only(tensor("\"f32\"", "[2]", "[0,8]")), 8, "dtype 'f32'"},
      {"a number for the dtype", only(tensor("7", "[2]", "[0,8]")), 8,
       "tensor 'w': dtype: expected a string, got a number"},
      {"a shape that is a number", only(tensor("\"F32\"", "2", "[0,8]")), 8,
       "tensor 'w': shape: expected an array, got a number"},
      {"a negative extent", only(tensor("\"F32\"", "[-2]", "[0,8]")), 8, "got a negative number"},
      {"a fractional extent", only(tensor("\"F32\"", "[2.0]", "[0,8]")), 8, "not a whole one"},
      {"an exponent", only(tensor("\"F32\"", "[2e0]", "[0,8]")), 8, "not a whole one"},
      {"an extent as text", only(tensor("\"F32\"", "[\"2\"]", "[0,8]")), 8, "got a string"},
      {"an extent of null", only(tensor("\"F32\"", "[null]", "[0,8]")), 8, "got null"},
      {"an extent of true", only(tensor("\"F32\"", "[true]", "[0,8]")), 8, "got true or false"},
      {"seven extents", only(tensor("\"F32\"", "[1,1,1,1,1,1,2]", "[0,8]")), 8,
       "tensor 'w': shape: expected at most 6 extents"},
      {"an extent of 2^63", only(tensor("\"F32\"", "[9223372036854775808]", "[0,8]")), 8,
       "shape: 9223372036854775808 is too large"},
      {"an extent of 2^64", only(tensor("\"F32\"", "[18446744073709551616]", "[0,8]")), 8,
       "not a whole one of at most 64 bits"},
      {"more elements than 2^63", only(tensor("\"U8\"", "[4294967296,4294967296]", "[0,0]")), 0,
       "overflows"},
      {"a product that wraps to 8", only(tensor("\"U8\"", "[2305843009213693953,8]", "[0,8]")), 8,
       "overflows"},
      {"more bytes than 2^63", only(tensor("\"F64\"", "[" + max + "]", "[0,8]")), 8, "overflows"},
      {"overflow before a zero", only(tensor("\"U8\"", "[" + max + ",2,0]", "[0,0]")), 0,
       "overflows"},

      {"one offset", only(tensor("\"F32\"", "[2]", "[8]")), 8, "expected two numbers, got 1"},
      {"no offset", only(tensor("\"F32\"", "[2]", "[]")), 8, "expected two numbers, got 0"},
      {"three offsets", only(tensor("\"F32\"", "[2]", "[0,8,9]")), 8, "two numbers, got more"},
      {"offsets in an object", only(tensor("\"F32\"", "[2]", "{}")), 8,
       "tensor 'w': data_offsets: expected an array, got an object"},
      {"a negative offset", only(tensor("\"F32\"", "[2]", "[-8,0]")), 8, "got a negative number"},
      {"a backward range", only(tensor("\"F32\"", "[2]", "[8,0]")), 8,
       "data_offsets [8, 0]: expected them in order and within the file's 8 bytes"},
      {"beyond the file", only(tensor("\"F32\"", "[2]", "[8,16]")), 8,
       "tensor 'w': data_offsets [8, 16]: expected them in order and within the file's 8 bytes"},
      {"far beyond the file", only(tensor("\"F32\"", "[2]", "[0," + max + "]")), 8, "within"},
      {"a range too short", only(tensor("\"F32\"", "[2]", "[0,4]")), 8,
       "tensor 'w': shape (2) of F32 is 8 bytes, data_offsets give 4"},
      {"a range too long", only(tensor("\"F16\"", "[2]", "[0,8]")), 8,
       "tensor 'w': shape (2) of F16 is 4 bytes, data_offsets give 8"},
      {"the same bytes twice", only(w + "," + v + "[0,4]}"), 8, "expected it to start at byte 4"},
      {"overlapping", only(w + "," + v + "[6,10]}"), 10,
       "tensor 'v': expected it to start at byte 8 of the data, where the one before ends, got 6"},
      {"a hole at the start", only(tensor("\"F32\"", "[2]", "[1,9]")), 9,
       "tensor 'w': expected it to start at byte 0"},
      {"a hole between", only(w + "," + v + "[9,13]}"), 13, "expected it to start at byte 8"},
      {"an empty tensor in the middle",
       only(w + R"(,"v":{"dtype":"U8","shape":[0],)" + R"("data_offsets":[4,4]})"), 8,
       "expected it to start at byte 8"},
      {"data left over", only(w), 12, "the tensors take 8 bytes, the file has 12 bytes of data"},
      {"data and no tensor", "{}", 1, "the tensors take 0 bytes, the file has 1 bytes of data"},
  };
  for (const Hostile& row : table) {
    CAPTURE(row.what);
    const std::string message = error_on_opening(file_bytes(row.header, row.data_bytes));
    CAPTURE(message);
    CHECK(message.size() < 700);
    if (*row.message)
      CHECK(contains(message, row.message));
    else
      CHECK(message.empty());
  }
}

TEST_CASE("safetensors: names in messages are short and harmless") {
  const std::string name = "\\u001b[2J" + std::string(5000, 'n');
  const std::string message = error_on_opening(file_bytes("{\"" + name + "\":3}", 0));
  CHECK(contains(message, "'?[2Jnnn"));
  CHECK(message.size() < 400);
}

// Any change of one byte of the header gives an error or a file that can be read in full.
TEST_CASE("safetensors: every byte of a header changed") {
  const TemporaryFolder folder;
  const fs::path path = folder / "a.safetensors";
  const std::string good = file_bytes(
      R"({"__metadata__":{"k":"v"},"w":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},)"
      R"("b":{"dtype":"BF16","shape":[3],"data_offsets":[8,14]}})",
      14);
  for (std::size_t at = 0; at < good.size() - 14; ++at)
    for (const char byte : {'\0', '"', '0', '9', '-', ']', '}', ',', 'F', '\\', '\xFF'}) {
      std::string bad = good;
      bad[at] = byte;
      {
        FILE* out = std::fopen(path.c_str(), "wb");
        REQUIRE(out != nullptr);
        std::fwrite(bad.data(), 1, bad.size(), out);
        std::fclose(out);
      }
      error_of([&] {
        const SafetensorsFile file(path);
        for (const auto& entry : file.entries()) {
          const auto values = file.read<float>(entry.name);
          CHECK(values.size() <= 14);
        }
      });
    }
}

}  // namespace
