// The code of what compiled_once.hpp names.
#include "compiled_once.hpp"

namespace anther::inline v0_1 {

template class Tape<float>;
template class ParameterStore<float>;
template class Inference<float>;
template class Conv2d<float>;
template class ConvTranspose2d<float>;
template class Linear<float>;
template class GroupNorm<float>;
template class LayerNorm<float>;
template class BatchNorm2d<float>;
template class InstanceNorm2d<float>;
template class EdgeViT<float>;

}  // namespace anther::inline v0_1
