#include "compiled_once.hpp"

#define ANTHER_ONCE
#include "training.inl"
