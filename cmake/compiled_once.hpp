// What nearly all of our own programs use, compiled once for all of them: this header is
// precompiled and included in each by the compiler, and compiled_once.cpp has the code of what it
// names.
#pragma once

#include <nlohmann/json.hpp>

#include "anther/anther.hpp"

namespace anther::inline v0_1 {

extern template class Tape<float>;
extern template class ParameterStore<float>;
extern template class Inference<float>;
extern template class Conv2d<float>;
extern template class ConvTranspose2d<float>;
extern template class Linear<float>;
extern template class GroupNorm<float>;
extern template class LayerNorm<float>;
extern template class BatchNorm2d<float>;
extern template class InstanceNorm2d<float>;
extern template class EdgeViT<float>;

}  // namespace anther::inline v0_1
