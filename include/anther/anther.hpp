// All of the engine: core, kernels, autograd, ops, layers, models and optimisers. Files, data and
// the training loop are included by themselves: anther/io/..., anther/data/..., anther/train/...
#pragma once

#include "anther/autograd/gradient_check.hpp"
#include "anther/autograd/tape.hpp"
#include "anther/core/openmp.hpp"
#include "anther/core/version.hpp"
#include "anther/models/edgevit/edgevit.hpp"
#include "anther/nn/activation.hpp"
#include "anther/nn/conv.hpp"
#include "anther/nn/drop.hpp"
#include "anther/nn/inference.hpp"
#include "anther/nn/linear.hpp"
#include "anther/nn/module.hpp"
#include "anther/nn/norm.hpp"
#include "anther/nn/summary.hpp"
#include "anther/ops/activation.hpp"
#include "anther/ops/arithmetic.hpp"
#include "anther/ops/attention.hpp"
#include "anther/ops/conv2d.hpp"
#include "anther/ops/cross_entropy.hpp"
#include "anther/ops/dropout.hpp"
#include "anther/ops/linear.hpp"
#include "anther/ops/mse.hpp"
#include "anther/ops/norm.hpp"
#include "anther/ops/pointwise.hpp"
#include "anther/ops/pool.hpp"
#include "anther/ops/shape.hpp"
#include "anther/ops/softmax.hpp"
#include "anther/optim/adam.hpp"
#include "anther/optim/clip_grad.hpp"
#include "anther/optim/model_ema.hpp"
#include "anther/optim/schedule.hpp"
#include "anther/optim/sgd.hpp"

#ifdef ANTHER_COMPILED
#include "anther/compiled.hpp"
#endif
