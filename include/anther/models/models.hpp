// All models of the tree, in the registry.
#pragma once

#include "anther/models/edgevit/config.hpp"
#include "anther/models/registry.hpp"
