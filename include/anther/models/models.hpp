// All models of the tree, in the registry, and how their weights are loaded.
//
// They take some time to compile. A program of several translation units may do it once: one of
// them includes this header, and the others are compiled with ANTHER_MODELS_LINKED.
#pragma once

#include "anther/models/loaded_model.hpp"
#include "anther/models/registry.hpp"

#ifndef ANTHER_MODELS_LINKED
#include "anther/models/convnext/convnext.hpp"
#include "anther/models/edgevit/config.hpp"
#include "anther/models/edgevit/fpn.hpp"
#include "anther/models/efficientnet_lite/efficientnet_lite0.hpp"
#include "anther/models/lenet5/lenet5.hpp"
#include "anther/models/mlp/mlp.hpp"
#include "anther/models/mobilenet/mobilenet_v2.hpp"
#include "anther/models/mobilenet/mobilenet_v3.hpp"
#include "anther/models/resnet/resnet.hpp"
#include "anther/models/unet/unet.hpp"
#include "anther/models/vit/vit.hpp"
#endif
