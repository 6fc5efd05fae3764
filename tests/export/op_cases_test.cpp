// Every op of the table in one generated header: compiled alone, with the engine's bits.
#include <doctest/doctest.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <sstream>

#include "anther/export/cpp_header.hpp"
#include "tests/io/temporary_folder.hpp"
#include "tests/op_case_module.hpp"

namespace {

using namespace op_tests;

// All rows beside each other: each has its part of the input, and the results follow each other.
class AllCases : public Module<float> {
 public:
  explicit AllCases(const Scope<float>& scope) : Module<float>(scope, "AllCases") {
    for (const OpCase& row : op_cases())
      if (row.exported)
        cases_.push_back(
            std::make_unique<CaseModule>(scope / static_cast<int>(cases_.size()), row));
  }
  template <class Edit>
  void write_values(const Edit& edit) const {
    for (const auto& part : cases_) part->write_values(edit);
  }
  std::vector<float> input() const {
    std::vector<float> all;
    for (const auto& part : cases_)
      all.insert(all.end(), part->input().begin(), part->input().end());
    return all;
  }
  Variable<float> forward(Variable<float> x) const override {
    std::vector<Variable<float>> results;
    std::int64_t at = 0;
    for (const auto& part : cases_) {
      const Shape& shape = part->input().shape();
      const Variable<float> y = (*part)(reshape(narrow(x, 1, at, shape.numel()), shape));
      results.push_back(reshape(y, Shape{1, y.shape().numel()}));
      at += shape.numel();
    }
    return cat(std::span<const Variable<float>>(results), 1);
  }

 private:
  std::vector<std::unique_ptr<CaseModule>> cases_;
};

TEST_CASE("C++ header: every op has the engine's bits") {
  ParameterStore<float> store;
  const AllCases net(store);
  net.write_values(store.edit());
  const std::vector<float> input = net.input();
  const TemporaryFolder folder;
  exports::write_cpp_header(folder / "ops.hpp", net, {1, std::ssize(input)},
                            {.name = "ops", .sources = exports::sources_in("include")});
  std::ofstream(folder / "ops.cpp") << R"(#include <cstdio>
#include <vector>
#include "ops.hpp"
int main(int, char** argv) {
  static ops::Model model;
  std::vector<float> input(ops::input_size);
  std::FILE* in = std::fopen(argv[1], "rb");
  if (!in || std::fread(input.data(), 4, input.size(), in) != input.size()) return 1;
  const float* output = model.run(input.data());
  std::FILE* out = std::fopen(argv[2], "wb");
  const bool written = std::fwrite(output, 4, ops::output_size, out) == ops::output_size;
  return std::fclose(out) == 0 && written ? 0 : 1;
})";
  std::ofstream(folder / "in", std::ios::binary)
      .write(reinterpret_cast<const char*>(input.data()),
             static_cast<std::streamsize>(input.size() * sizeof(float)));
  const std::string path = folder.path().string();
  const std::string compile =
      detail::text_of(ANTHER_TEST_COMPILER, " -std=c++20 -O2 -Wall -Wextra -Werror ", path,
                      "/ops.cpp -o ", path, "/ops");
  REQUIRE(std::system(compile.c_str()) == 0);
  REQUIRE(std::system(detail::text_of(path, "/ops ", path, "/in ", path, "/out").c_str()) == 0);

  Tape<float> tape;
  tape.begin({.training = false, .backward = false});
  const Variable<float> y = net(tape.input({1, std::ssize(input)}, input));
  std::ifstream out(folder / "out", std::ios::binary);
  std::vector<float> results(y.value().size());
  out.read(reinterpret_cast<char*>(results.data()),
           static_cast<std::streamsize>(results.size() * sizeof(float)));
  REQUIRE(out.good());
  CHECK(std::memcmp(results.data(), y.value().data(), results.size() * sizeof(float)) == 0);
}

}  // namespace
