// Which form an op has in an export, by the op's address, or by that of the engine's name for it.
// Reading and adding are safe on several threads at once.
#pragma once

#include <map>
#include <mutex>
#include <shared_mutex>

#include "anther/autograd/tape.hpp"
#include "anther/core/check.hpp"

namespace anther::inline v0_1::exports {

// Form: a function that describes a call of the op.
template <class T, class Form>
class OpForms {
 public:
  // A second form of an op takes the place of its first.
  void add(const Op<T>& op, Form form) {
    detail::check(form != nullptr, op.name, ": expected a form, got a null pointer");
    const std::unique_lock lock(mutex_);
    forms_.insert_or_assign(&op, form);
  }
  // An op that is a temporary has no address to be found by.
  void add(const Op<T>&& op, Form form) = delete;

  // The same of the op that has this name: this very array, not one of the same letters. For the
  // engine's own table: naming the ops there would compile all kernels of the engine into every
  // program that exports anything.
  void add_named(const char* name, Form form) {
    const std::unique_lock lock(mutex_);
    forms_.insert_or_assign(name, form);
  }

  // Null where the op has none.
  Form find(const Op<T>& op) const {
    const std::shared_lock lock(mutex_);
    for (const void* key : {static_cast<const void*>(&op), static_cast<const void*>(op.name)})
      if (const auto found = forms_.find(key); found != forms_.end()) return found->second;
    return nullptr;
  }

 private:
  mutable std::shared_mutex mutex_;
  std::map<const void*, Form> forms_;
};

}  // namespace anther::inline v0_1::exports
