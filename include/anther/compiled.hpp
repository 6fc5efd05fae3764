// The engine's templates, for float and double, as code that is compiled once and linked.
//
// The target anther::compiled defines ANTHER_COMPILED, and anther.hpp then includes this file. What
// is named in compiled/ comes from the library, so that a program compiles in a second or two.
// Anything else that a program instantiates (another scalar, its own layers) is compiled with it as
// usual.
#pragma once

#include "anther/anther.hpp"

#define ANTHER_TEMPLATE extern template
#define ANTHER_SCALAR float
#include "anther/compiled/engine.inl"
#include "anther/compiled/kernels.inl"
#undef ANTHER_SCALAR
#define ANTHER_SCALAR double
#include "anther/compiled/engine.inl"
#include "anther/compiled/kernels.inl"
#undef ANTHER_SCALAR
#undef ANTHER_TEMPLATE
