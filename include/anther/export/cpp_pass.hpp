// A model's forward pass as C++: the calls of kernels, in order, and the numbers that they read.
// Each value has its place in one memory, as inference plans it. The form of each op comes from a
// table (export/cpp_forms.hpp); for an op without one, the error names the op and its layer.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "anther/autograd/tape.hpp"
#include "anther/core/check.hpp"
#include "anther/export/amalgamation.hpp"
#include "anther/export/code_builder.hpp"
#include "anther/export/cpp_forms.hpp"
#include "anther/io/dtype.hpp"
#include "anther/nn/dry_run.hpp"
#include "anther/nn/inference_plan.hpp"

namespace anther::inline v0_1::exports {

// The code and the numbers of a recorded pass.
class CppPass : public CodeBuilder {
 public:
  // What the header of a model is written from: the model in evaluation, for inputs of one shape.
  // dtype: of the weights; with bf16 products are of numbers in bfloat16 (TapeOptions::amp), and of
  // the weights only theirs are stored so. runtime: the header with the class that runs the pass.
  CppPass(const Module<float>& model, const Shape& input, io::Dtype dtype, SourceReader sources,
          std::string_view runtime = "anther/export/generated/model.inl")
      : pass_(model, input, nullptr, dtype == io::Dtype::bf16),
        plan_(pass_.tape, pass_.tape.id_of(pass_.input), pass_.tape.id_of(pass_.output)),
        dtype_(dtype),
        sources_(std::move(sources),
                 {{"anther/core/cpu.hpp", "anther/export/generated/serial.inl"},
                  {"anther/core/parallel_for.hpp", "anther/export/generated/serial.inl"}}),
        rows_(plan_.entries().size()),
        bf16_rows_(plan_.entries().size()) {
    sources_.add(runtime);
    if (dtype == io::Dtype::bf16) sources_.add("anther/export/generated/bf16.inl");
    for (std::size_t i = 0; i < plan_.entries().size(); ++i) add_entry(i);
    detail::check(output_offset() >= 0,
                  "C++: expected a model whose result is computed from its input");
  }

  Shape output_shape() const { return pass_.output.shape(); }
  // Where in the memory the input is, and after the pass the result.
  std::int64_t input_offset() const { return plan_.offset_of(pass_.tape.id_of(pass_.input)); }
  std::int64_t output_offset() const { return plan_.offset_of(pass_.tape.id_of(pass_.output)); }
  bool reads_integers() const { return pass_.tape.holds_integers(pass_.tape.id_of(pass_.input)); }
  bool gives_integers() const { return pass_.tape.holds_integers(pass_.tape.id_of(pass_.output)); }
  std::int64_t memory_size() const { return std::max<std::int64_t>(plan_.size(), 1); }
  std::int64_t integers_size() const { return std::max<std::int64_t>(plan_.integers_size(), 1); }
  std::int64_t workspace_size() const { return workspace_size_; }
  std::int64_t plain_size() const { return std::max<std::int64_t>(plain_size_, 1); }
  std::int64_t packed_size() const { return std::max<std::int64_t>(packed_size_, 1); }
  std::int64_t scratch_size() const { return scratch_size_; }

  const std::string& statements() const { return statements_; }
  const std::vector<std::string>& weights() const { return weights_; }
  const std::vector<std::byte>& numbers() const { return numbers_; }
  const Amalgamation& sources() const { return sources_; }

  void include(std::string_view header) override { sources_.add(header); }
  std::string input(int i) override { return floats(entry_->input(i)); }
  std::string bf16_input() override {
    return detail::text_of("as_bf16(", value(entry_->input(0)), ")");
  }
  std::string add() override {
    added_ = true;
    return floats(entry_->add);
  }
  std::string output(int i) override {
    return value(i == 0 && entry_->into >= 0 ? entry_->into
                                             : entry_->outputs[static_cast<std::size_t>(i)]);
  }
  std::string integers(int i) override { return integers_of(entry_->input(i)); }
  std::string output_integers(int i) override {
    return integers_of(entry_->outputs[static_cast<std::size_t>(i)]);
  }
  std::string workspace(std::int64_t count) override {
    const std::int64_t at = workspace_used_;
    workspace_used_ += padded(count);
    workspace_size_ = std::max(workspace_size_, workspace_used_);
    return detail::text_of("workspace + ", at);
  }
  std::string packed(int i, const kernels::PackOptions& pack) override {
    const Parameter<float> parameter = pass_.tape.parameter_of(entry_->input(i));
    detail::check(static_cast<bool>(parameter), "input ", i,
                  ": expected a parameter; computed weights have no form here");
    // Room for any instruction set: each pads to vectors of at most 16 elements. In bfloat16 all
    // pad alike.
    const std::int64_t room = pack.bf16 != 0 ? padded(kernels::packed_size<float>(pack))
                                             : pack.groups * pack.depth * padded(pack.columns);
    const std::string options = code_of(pack);
    const auto [known, is_new] =
        packed_.try_emplace(std::pair(key_of(parameter), options), packed_size_);
    if (is_new) {
      const std::vector<double> values = values_of(parameter);
      add_weight(values, packed_size_, options,
                 dtype_ != io::Dtype::bf16 || pack.bf16 != 0 ? dtype_ : io::Dtype::f32);
      scratch_size_ = std::max(scratch_size_, std::ssize(values));
      packed_size_ += room;
    }
    return detail::text_of("packed + ", known->second);
  }
  std::string constant(const std::vector<double>& values) override {
    return detail::text_of("plain + ", add_plain(values));
  }
  std::string input_rows(bool bf16) override {
    detail::check(entry_->lazy >= 0, "expected a call with a lazy input");
    return (bf16 ? bf16_rows_ : rows_)[static_cast<std::size_t>(entry_->lazy)];
  }
  std::string apply_rows() override {
    applied_ = true;
    if (entry_->after < 0) return "[](std::int64_t, std::int64_t) {}";
    return detail::text_of("[&](std::int64_t first, std::int64_t count) {\n          ",
                           rows_[static_cast<std::size_t>(entry_->after)], "(", output(0),
                           " + first * ", pass_.tape.shape_of(entry_->outputs[0]).back(),
                           ", first, count);\n        }");
  }
  void statement(const std::string& text) override { statements_ += "    " + text + ";\n"; }
  void rows(const std::string& text) override {
    rows_[number_] = detail::text_of("rows_", number_);
    statement(detail::text_of("[[maybe_unused]] const auto ", rows_[number_],
                              " = [&](float* y, std::int64_t first, std::int64_t count) {\n      ",
                              text, ";\n    }"));
  }
  void bf16_rows(const std::string& text) override {
    bf16_rows_[number_] = detail::text_of("bf16_rows_", number_);
    statement(detail::text_of("[[maybe_unused]] const auto ", bf16_rows_[number_],
                              " = [&](float* to, std::int64_t first, std::int64_t count) {\n"
                              "      std::uint16_t* const y = as_bf16(to);\n      ",
                              text, ";\n    }"));
  }

 private:
  // In elements: whole vectors of the widest kind, so that every place is aligned for them.
  static constexpr std::int64_t padded(std::int64_t count) { return (count + 15) / 16 * 16; }

  // A parameter, of any store.
  using Key = std::pair<const void*, int>;
  static Key key_of(const Parameter<float>& parameter) {
    return {parameter.store, parameter.number};
  }
  static std::vector<double> values_of(const Parameter<float>& parameter) {
    parameter.store->check_readable();
    const std::span<const float> values = std::as_const(*parameter.store).value(parameter.number);
    return {values.begin(), values.end()};
  }

  // A pointer to a value's elements. Those of a view lie within another value.
  std::string value(int id) {
    if (id < 0) return "nullptr";
    const auto [root, first] = pass_.tape.root_of(id);
    if (const Parameter<float> parameter = pass_.tape.parameter_of(root)) {
      const auto [known, is_new] = plain_.try_emplace(key_of(parameter), plain_size_);
      if (is_new) add_plain(values_of(parameter));
      return detail::text_of("plain + ", known->second + first);
    }
    detail::check(!pass_.tape.holds_integers(id), "expected real numbers, got integers");
    if (const std::span<const float> constants = pass_.tape.elements_of(root); !constants.empty()) {
      const auto [known, is_new] = constants_.try_emplace(root, plain_size_);
      if (is_new) add_plain({constants.begin(), constants.end()});
      return detail::text_of("plain + ", known->second + first);
    }
    detail::check(
        plan_.offset_of(id) >= 0,
        "a value that has no place in memory: a lazy result that is to be read by its rows");
    return detail::text_of("memory + ", plan_.offset_of(id));
  }

  // The same where an op wants floats: of a map in bfloat16, a copy.
  std::string floats(int id) {
    if (id < 0 || !pass_.tape.is_bf16(id)) return value(id);
    const std::int64_t size = pass_.tape.shape_of(id).numel();
    const std::string copy = workspace(size);
    statement(detail::text_of("bf16_kernels<float>().widen(", copy, ", as_bf16(", value(id), "), ",
                              size, ")"));
    return copy;
  }

  // The same for integers.
  std::string integers_of(int id) {
    if (id < 0) return "nullptr";
    const auto [root, first] = pass_.tape.root_of(id);
    detail::check(pass_.tape.holds_integers(root), "expected integers, got real numbers");
    const std::span<const std::int32_t> constants = pass_.tape.integers_of(root);
    if (constants.empty()) return detail::text_of("integers + ", plan_.offset_of(id));
    const std::string name = detail::text_of("integers_", root);
    if (constants_.try_emplace(root, 0).second) {
      std::string list;
      for (const std::int32_t each : constants) list += detail::text_of(each, ", ");
      statement(detail::text_of("static constexpr std::int32_t ", name, "[] = {", list, "}"));
    }
    return detail::text_of(name, " + ", first);
  }

  std::int64_t add_plain(const std::vector<double>& values) {
    const std::int64_t at = plain_size_;
    add_weight(values, at, "{}", dtype_ == io::Dtype::bf16 ? io::Dtype::f32 : dtype_);
    plain_size_ += padded(std::ssize(values));
    return at;
  }
  void add_weight(const std::vector<double>& values, std::int64_t at, const std::string& options,
                  io::Dtype dtype) {
    weights_.push_back(
        "{" + code_list(add_numbers(values, dtype), std::ssize(values), at, options) + "}");
  }

  // Appends numbers, and fills their last word of 32 bits. Returns the number of the first word.
  std::int64_t add_numbers(const std::vector<double>& values, io::Dtype dtype) {
    const auto size = static_cast<std::size_t>(io::size_of(dtype));
    const auto first = numbers_.size();
    numbers_.resize((first + values.size() * size + 3) / 4 * 4);
    encode(dtype, values.data(), std::ssize(values), numbers_.data() + first);
    return static_cast<std::int64_t>(first / 4);
  }

  void add_entry(std::size_t number) {
    const auto& entry = plan_.entries()[number];
    const int result = entry.outputs[0];
    if (entry.merged || entry.applied) return;            // another entry computes it
    if (pass_.tape.root_of(result).id != result) return;  // a view
    std::vector<int> applied;
    for (int lazy = entry.after; lazy >= 0;
         lazy = plan_.entries()[static_cast<std::size_t>(lazy)].lazy)
      applied.push_back(lazy);
    for (; !applied.empty(); applied.pop_back())
      write_entry(static_cast<std::size_t>(applied.back()));
    write_entry(number);
  }
  void write_entry(std::size_t number) {
    const auto& entry = plan_.entries()[number];
    const int result = entry.outputs[0];
    entry_ = &entry;
    number_ = number;
    added_ = applied_ = false;
    workspace_used_ = 0;
    const std::string where = entry.where();
    const CppForm form = cpp_form(*entry.op);
    detail::check(form != nullptr, where,
                  ": this op has no form in C++ (exports::add_cpp_form gives it one)");
    statements_ += detail::text_of("\n    // ", where, "\n");
    try {
      form(*this, Call<float>(pass_.tape, entry));
      detail::check(entry.add < 0 || added_, "its form leaves out the addition");
      detail::check(entry.after < 0 || applied_, "its form leaves out the ops that follow");
      if (entry.op->forward_rows == nullptr) return;
      detail::check(!rows_[number].empty(), "its form says no rows of a lazy result");
      if (plan_.offset_of(result) >= 0 && !entry.applied)
        statement(detail::text_of(rows_[number], "(", value(result), ", 0, ",
                                  pass_.tape.shape_of(result).rows(), ")"));
    } catch (const Error& error) {
      detail::fail(where, ": cannot be written in C++: ", error.what());
    }
  }

  DryRun<float> pass_;
  InferencePlan<float> plan_;
  io::Dtype dtype_;
  Amalgamation sources_;

  const InferencePlan<float>::Entry* entry_ = nullptr;
  std::size_t number_ = 0;
  bool added_ = false;               // whether it has asked for the addition,
  bool applied_ = false;             // and for the ops that follow
  std::int64_t workspace_used_ = 0;  // by it

  std::string statements_;
  // Of each lazy entry, the name of the function that computes its rows; and that of the one which
  // does to a map in bfloat16.
  std::vector<std::string> rows_, bf16_rows_;
  std::vector<std::string> weights_;  // GeneratedWeight's members
  std::vector<std::byte> numbers_;
  // Where parameters and constants are.
  std::map<Key, std::int64_t> plain_;
  std::map<int, std::int64_t> constants_;  // by id
  std::map<std::pair<Key, std::string>, std::int64_t> packed_;
  std::int64_t workspace_size_ = 1, plain_size_ = 0, packed_size_ = 0, scratch_size_ = 1;
};

}  // namespace anther::inline v0_1::exports
