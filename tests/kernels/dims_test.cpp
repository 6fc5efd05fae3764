// A dims struct's members() has all of its members, in their order: so that what it calls can write
// the struct down as a list of numbers.
#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

#include "anther/kernels/attention.hpp"
#include "anther/kernels/batch_norm.hpp"
#include "anther/kernels/channel_norm.hpp"
#include "anther/kernels/conv2d.hpp"
#include "anther/kernels/cross_entropy.hpp"
#include "anther/kernels/depthwise_conv2d.hpp"
#include "anther/kernels/depthwise_conv_transpose2d.hpp"
#include "anther/kernels/elementwise.hpp"
#include "anther/kernels/embedding.hpp"
#include "anther/kernels/gemm.hpp"
#include "anther/kernels/global_average_pool.hpp"
#include "anther/kernels/group_norm.hpp"
#include "anther/kernels/interpolate.hpp"
#include "anther/kernels/layer_norm.hpp"
#include "anther/kernels/matmul.hpp"
#include "anther/kernels/packed_weight.hpp"
#include "anther/kernels/pool2d.hpp"
#include "anther/kernels/recurrent.hpp"
#include "anther/kernels/rms_norm.hpp"
#include "anther/kernels/softmax.hpp"
#include "anther/kernels/softmax_axis.hpp"
#include "anther/kernels/subsample.hpp"
#include "anther/kernels/topk.hpp"

namespace dims_test {

using namespace anther;
using namespace anther::kernels;

// The struct {1, 2, 3, ...}: all members have eight bytes.
template <class Dims, std::size_t... i>
Dims counted(std::index_sequence<i...>) {
  return {static_cast<std::int64_t>(i + 1)...};
}

template <class Dims>
void check_members() {
  constexpr std::size_t count = sizeof(Dims) / sizeof(std::int64_t);
  const Dims dims = counted<Dims>(std::make_index_sequence<count>{});
  const std::vector<double> members =
      dims.members([](auto... all) { return std::vector<double>{static_cast<double>(all)...}; });
  std::vector<double> numbers(count);
  std::iota(numbers.begin(), numbers.end(), 1);
  CHECK(members == numbers);
}

TEST_CASE("dims: members() has all members in their order") {
  check_members<AttentionDims>();
  check_members<AvgPool2dDims>();
  check_members<BatchNormDims>();
  check_members<ChannelNormDims>();
  check_members<ColumnSumsDims>();
  check_members<Conv2dDims>();
  check_members<CrossEntropyDims>();
  check_members<DepthwiseConv2dDims>();
  check_members<DepthwiseConvTranspose2dDims>();
  check_members<EmbeddingDims>();
  check_members<GemmDims>();
  check_members<GemmTnDims>();
  check_members<GlobalAveragePoolDims>();
  check_members<GroupNormDims>();
  check_members<InterpolateDims>();
  check_members<LayerNormDims>();
  check_members<MatmulDims>();
  check_members<MaxPool2dDims>();
  check_members<PackOptions>();
  check_members<RecurrentDims>();
  check_members<RMSNormDims>();
  check_members<SampleDims>();
  check_members<SoftmaxAxisDims>();
  check_members<SoftmaxDims>();
  check_members<SubsampleDims>();
  check_members<TopkDims>();
}

}  // namespace dims_test
