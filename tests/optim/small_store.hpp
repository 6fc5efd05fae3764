// Parameters and gradients for the tests of optimisers.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "anther/autograd/parameter_store.hpp"
#include "anther/core/random.hpp"

namespace {

using namespace anther;

// A weight, a bias and another weight; their sizes leave padding between them.
template <class T>
void add_parameters(ParameterStore<T>& store) {
  store.add_parameter("a.weight", {.shape = {5, 7}, .init = Init::normal(1)});
  store.add_parameter("a.bias", {.shape = {5}, .init = Init::normal(1), .decay = false});
  store.add_parameter("b.weight", {.shape = {40, 3}, .init = Init::normal(1)});
  store.initialize(1);
}

// Gradients of a step, in the store's layout: zero in the padding, as backward leaves it.
template <class T>
std::vector<T> gradients_of(const ParameterStore<T>& store, int step) {
  std::vector<T> all(static_cast<std::size_t>(store.size()));
  for (int i = 0; i < std::ssize(store.parameters()); ++i) {
    const RandomKey key = RandomKey(9)
                              .fold(static_cast<std::uint64_t>(step))
                              .fold(store.parameters()[static_cast<std::size_t>(i)].name);
    std::uint64_t n = 0;
    for (T& g : store.slice_of(std::span(all), i)) g = static_cast<T>(normal(key, n++));
  }
  return all;
}

}  // namespace
