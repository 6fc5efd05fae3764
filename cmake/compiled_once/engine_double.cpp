#include "compiled_once.hpp"

#define ANTHER_ONCE
#define ANTHER_ONCE_T double
#include "engine.inl"
