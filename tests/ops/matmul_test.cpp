#include <doctest/doctest.h>

#include <vector>

#include "anther/anther.hpp"

using namespace anther;

TEST_CASE("matmul: the shapes of results are NumPy's, with vectors and with dimensions of 1") {
  struct Case {
    Shape a, b, result;
  };
  const std::vector<Case> cases = {
      {{3}, {3}, {}},
      {{3}, {3, 2}, {2}},
      {{2, 3}, {3}, {2}},
      {{2, 3}, {3, 4}, {2, 4}},
      {{3}, {5, 3, 2}, {5, 2}},
      {{5, 2, 3}, {3}, {5, 2}},
      {{5, 2, 3}, {3, 4}, {5, 2, 4}},
      {{2, 3}, {5, 3, 4}, {5, 2, 4}},
      {{6, 1, 2, 3}, {5, 3, 4}, {6, 5, 2, 4}},
      {{1, 3}, {3, 1}, {1, 1}},
  };
  for (const Case& c : cases) {
    Tape<float> tape;
    const Variable<float> y =
        matmul(tape.input(Tensor<float>(c.a)), tape.input(Tensor<float>(c.b)));
    CHECK(y.shape() == c.result);
  }
}
