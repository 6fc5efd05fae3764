#include "anther/compiled.hpp"

#define ANTHER_TEMPLATE template
#define ANTHER_SCALAR double
#include "anther/compiled/engine.inl"
