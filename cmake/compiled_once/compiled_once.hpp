// What nearly all of our own programs use, compiled once for all of them: this header is
// precompiled and included in each by the compiler, and the .cpp files beside it have the code of
// what the .inl files name.
#pragma once

#include <nlohmann/json.hpp>

#include "anther/anther.hpp"
#include "anther/train/checkpoint.hpp"
#include "anther/train/fit.hpp"

#define ANTHER_ONCE extern
#define ANTHER_ONCE_T float
#include "engine.inl"
#undef ANTHER_ONCE_T
#define ANTHER_ONCE_T double
#include "engine.inl"
#undef ANTHER_ONCE_T
#include "training.inl"
#undef ANTHER_ONCE
