#include "anther/autograd/profile.hpp"

#include <doctest/doctest.h>

#include <string>

#include "anther/autograd/gradient_check.hpp"
#include "anther/ops/arithmetic.hpp"
#include "anther/ops/linear.hpp"

namespace {

using namespace anther;
using namespace anther::kernels;

TEST_CASE("profile: a layer counts for its stage; outside of them for its path's first part") {
  Profile profile;
  for (const char* layer : {"body.1.0.fc", "body.1", "body.10.0", "head.fc", "head", ""})
    profile.add("linear", layer, false, 0.001, 1'000'000);
  const auto has = [&](const std::string& table, const char* row, const char* calls) {
    const auto at = table.find(std::string("\n") + row + "  linear");
    REQUIRE(at != std::string::npos);
    const std::string line = table.substr(at + 1, table.find('\n', at + 1) - at - 1);
    CHECK_MESSAGE(line.find(std::string(" ") + calls + " ") != std::string::npos, line);
  };
  const std::string table = profile.table({"body.1", "body.10"});
  has(table, "body.1", "2");
  has(table, "body.10", "1");
  has(table, "head", "2");
  has(profile.table(), "body", "3");
}

TEST_CASE("profile: calls and multiply-accumulates of a pass, forward and backward") {
  Profile profile;
  Tape<float> tape;
  for (int pass = 0; pass < 3; ++pass) {
    tape.begin({.profile = &profile});
    const Variable<float> x = tape.input(Tensor<float>({10, 4}), true),
                          w = tape.input(Tensor<float>({5, 4}), true);
    const Variable<float> y = linear(x, w);
    const Tensor<float> weights({10, 5});
    tape.backward(weighted_sum<float>(y, weights.span()));
  }
  const std::string table = profile.table();
  CAPTURE(table);
  CHECK(table.find("linear") != std::string::npos);
  CHECK(table.find("       3 ") != std::string::npos);  // calls
  profile.clear();
  CHECK(profile.table().find("linear") == std::string::npos);
}

TEST_CASE("profile: sums are those that were added") {
  Profile profile;
  profile.add("linear", "stages.0.a", false, 0.001, 2'000'000);
  profile.add("linear", "stages.0.b", true, 0.003, 4'000'000);
  const std::string table = profile.table({"stages.0"});
  CAPTURE(table);
  // 12 M operations in 4 ms are 3 GFLOP/s.
  for (const char* part : {"stages.0  linear", "1.0", "3.0", "100.0 %"})
    CHECK(table.find(part) != std::string::npos);
}

}  // namespace
