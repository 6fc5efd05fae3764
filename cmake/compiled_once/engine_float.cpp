#include "compiled_once.hpp"

#define ANTHER_ONCE
#define ANTHER_ONCE_T float
#include "engine.inl"
