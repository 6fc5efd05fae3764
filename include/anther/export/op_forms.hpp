// Which form an op has in an export, by the op's address. Reading and adding are safe on several
// threads at once.
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

  // Null where the op has none.
  Form find(const Op<T>& op) const {
    const std::shared_lock lock(mutex_);
    const auto found = forms_.find(&op);
    return found == forms_.end() ? nullptr : found->second;
  }

 private:
  mutable std::shared_mutex mutex_;
  std::map<const Op<T>*, Form> forms_;
};

}  // namespace anther::inline v0_1::exports
