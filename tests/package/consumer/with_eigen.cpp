// A tensor as Eigen's matrix, outside Anther's tree.
#include <anther/interop/eigen.hpp>

int main() {
  anther::Tensor<float> x({2, 3});
  x[4] = 5;
  return anther::as_eigen(x)(1, 1) == 5 ? 0 : 1;
}
