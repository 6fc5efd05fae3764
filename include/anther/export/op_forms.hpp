// Which form an op has in an export. A form is found by the op's address, or by the address of the
// engine's name for the op. Reading and adding are safe from several threads at once.
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
  // A second form of an op replaces the first.
  void add(const Op<T>& op, Form form) {
    detail::check(form != nullptr, op.name, ": expected a form, got a null pointer");
    const std::unique_lock lock(mutex_);
    forms_.insert_or_assign(&op, form);
  }
  // A temporary op has no lasting address by which it could be found.
  void add(const Op<T>&& op, Form form) = delete;

  // The same for the op with this name: this very array, not another one with the same letters. It
  // is for the engine's own table. If that named the ops themselves, all kernels of the engine
  // would be compiled into every program that exports anything.
  void add_named(const char* name, Form form) {
    const std::unique_lock lock(mutex_);
    forms_.insert_or_assign(name, form);
  }

  // Null if the op has none.
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
