// What an op's form in C++ works with: it describes one call of the op as a call of the kernel that
// the op's forward calls, with the dims as numbers.
//
//   add_cpp_form(relu_op<float>, [](CodeBuilder& code, const Call<float>& call) {
//     code.include("anther/kernels/elementwise.hpp");
//     code.call("relu_forward<float>", code.output(), code.input(0), call.output_shape().numel());
//   });
//
// Expressions are text. The header with the function that is called includes nothing but the
// standard library, anther/core/ and anther/kernels/.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/export/cpp_text.hpp"
#include "anther/export/op_forms.hpp"
#include "anther/kernels/packed_weight.hpp"

namespace anther::inline v0_1::exports {

// One call of an op at a time, in the order of the tape. The element type is float.
class CodeBuilder {
 public:
  virtual ~CodeBuilder() = default;

  // Names a header that the code needs.
  virtual void include(std::string_view header) = 0;

  // Pointers to elements, as Call has them. nullptr where an input, or the addition, is absent.
  virtual std::string input(int i) = 0;
  // The first input, which is stored as a map in bfloat16.
  virtual std::string bf16_input() = 0;
  virtual std::string add() = 0;
  virtual std::string output(int i = 0) = 0;
  // The same where they hold integers, which are std::int32_t.
  virtual std::string integers(int i) = 0;
  virtual std::string output_integers(int i = 0) = 0;
  virtual std::string workspace(std::int64_t count) = 0;
  // Input i, a parameter, packed for a matrix product.
  virtual std::string packed(int i, const kernels::PackOptions& pack) = 0;
  // For values that are not parameters: running statistics, for example.
  virtual std::string constant(const std::vector<double>& values) = 0;
  // For a call with a lazy input: a function (float* y, first, count) that computes rows of the
  // input. bf16: as a map in bfloat16, of a lazy op that has_bf16_rows.
  virtual std::string input_rows(bool bf16 = false) = 0;

  // For an op that applies_rows: a function (first, count) that computes the lazy ops that follow,
  // for rows of the result.
  virtual std::string apply_rows() = 0;

  // Adds a statement.
  virtual void statement(const std::string& text) = 0;
  // For a lazy op: how rows `first` to `first + count - 1` of the result are written to `y`.
  virtual void rows(const std::string& text) = 0;
  // The same to a map in bfloat16, where the call has_bf16_rows: `y` is as_bf16(y) then.
  virtual void bf16_rows(const std::string& text) = 0;

  template <class... Arguments>
  void call(std::string_view function, const Arguments&... arguments) {
    statement(detail::text_of(function, "(", code_list(arguments...), ")"));
  }
  // Call::float_output() and Call::round_output().
  std::string float_output(const Call<float>& call) {
    return call.output_is_bf16() ? workspace(call.output_shape().numel()) : output();
  }
  void round_output(const Call<float>& from, const std::string& y) {
    if (from.output_is_bf16())
      call("bf16_kernels<float>().narrow", detail::text_of("as_bf16(", output(), ")"), y,
           from.output_shape().numel());
  }
  template <class... Arguments>
  void call_rows(std::string_view function, const Arguments&... arguments) {
    rows(detail::text_of(function, "(", code_list(arguments...), ")"));
  }
};

// Describes a call of an op, including the addition that is fused with it.
using CppForm = void (*)(CodeBuilder& code, const Call<float>& call);
using CppForms = OpForms<float, CppForm>;

}  // namespace anther::inline v0_1::exports
