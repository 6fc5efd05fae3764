#include "anther/compiled.hpp"

#define ANTHER_TEMPLATE template
#define ANTHER_SCALAR float
#include "anther/compiled/engine.inl"
