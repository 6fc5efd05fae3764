// The objectives of the tree.
#pragma once

#include "anther/train/cross_entropy_objective.hpp"
#include "anther/train/distillation_objective.hpp"
#include "anther/train/mse_objective.hpp"
