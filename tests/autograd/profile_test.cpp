#include "anther/autograd/profile.hpp"

#include <doctest/doctest.h>

#include "anther/autograd/gradient_check.hpp"
#include "anther/ops/arithmetic.hpp"
#include "anther/ops/linear.hpp"

namespace {

using namespace anther;
using namespace anther::kernels;

TEST_CASE("profile: the stage of a layer's path") {
  CHECK(Profile::stage_of("stages.2.0.attn.qkv") == "stages.2");
  CHECK(Profile::stage_of("stages.11") == "stages.11");
  CHECK(Profile::stage_of("norm.weight") == "norm");
  CHECK(Profile::stage_of("head") == "head");
  CHECK(Profile::stage_of("") == "");
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
  const std::string table = profile.table();
  CAPTURE(table);
  // 12 M operations in 4 ms are 3 GFLOP/s.
  for (const char* part : {"stages.0  linear", "1.0", "3.0", "100.0 %"})
    CHECK(table.find(part) != std::string::npos);
}

}  // namespace
