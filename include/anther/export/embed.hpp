// A model as one C++ header that needs nothing but the standard library: the calls of kernels that
// a forward pass is, the text of those kernels, and the weights as string literals. From a walk
// over one recorded pass: a table says which call each op is
// (export/cpp_forms.hpp). An op without a form in C++ fails by its name and layer.
//
// The header's own first lines say how it is used; tests/export/embed_test.cpp compiles and runs
// some.
#pragma once

#include <algorithm>
#include <array>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "anther/autograd/tape.hpp"
#include "anther/core/check.hpp"
#include "anther/core/version.hpp"
#include "anther/export/amalgamation.hpp"
#include "anther/export/code_builder.hpp"
#include "anther/export/cpp_forms.hpp"
#include "anther/io/atomic_file.hpp"
#include "anther/io/base85.hpp"
#include "anther/io/dtype.hpp"
#include "anther/nn/dry_run.hpp"
#include "anther/nn/inference_plan.hpp"

namespace anther::inline v0_1::exports {

struct EmbedOptions {
  std::string name = "model";        // the namespace that everything stands in
  std::string file = {};             // the header's own name, for its example; empty: NAME.hpp
  io::Dtype dtype = io::Dtype::f32;  // of the weights: f32, or f16
  SourceReader sources;              // where the kernels' text is: sources_in("anther/include")
  std::array<float, 3> mean = {0, 0, 0};  // what the model is fed: (level / 255 - mean) / std
  std::array<float, 3> std = {1, 1, 1};
  std::vector<std::string> class_names = {};  // empty: their numbers
  std::vector<std::string> notes = {};        // lines of the header's first comment
};

// Whether a word can name the header's namespace: an identifier that the language does not reserve.
inline bool is_namespace_name(std::string_view word) {
  constexpr std::string_view taken =
      " alignas alignof and and_eq asm auto bitand bitor bool break case catch char char16_t "
      "char32_t char8_t class co_await co_return co_yield compl concept const const_cast consteval "
      "constexpr constinit continue decltype default delete do double dynamic_cast else enum "
      "explicit export extern false float for friend goto if inline int long mutable namespace new "
      "noexcept not not_eq nullptr operator or or_eq private protected public register "
      "reinterpret_cast requires return short signed sizeof static static_assert static_cast "
      "struct switch template this thread_local throw true try typedef typeid typename union "
      "unsigned using virtual void volatile wchar_t while xor xor_eq anther main posix std ";
  if (word.empty() || !std::isalpha(static_cast<unsigned char>(word[0]))) return false;
  for (const char letter : word)
    if (!std::isalnum(static_cast<unsigned char>(letter)) && letter != '_') return false;
  return word.find("__") == word.npos && taken.find(detail::text_of(' ', word, ' ')) == taken.npos;
}

// Text as a string literal; all but printable ASCII by its octal code.
inline std::string string_literal(std::string_view text) {
  std::string literal = "\"";
  for (const char letter : text) {
    const auto code = static_cast<unsigned char>(letter);
    if (code < 32 || code > 126 || letter == '"' || letter == '\\' || letter == '?') {
      literal += '\\';
      for (const int shift : {6, 3, 0}) literal += static_cast<char>('0' + (code >> shift & 7));
    } else {
      literal += letter;
    }
  }
  return literal + "\"";
}

// The code and the numbers of a recorded pass.
class EmbeddedPass : public CodeBuilder {
 public:
  EmbeddedPass(const Module<float>& model, const Shape& input, const EmbedOptions& options)
      : pass_(model, input),
        store_(model.store()),
        plan_(pass_.tape, pass_.tape.id_of(pass_.input), pass_.tape.id_of(pass_.output)),
        dtype_(options.dtype),
        sources_(options.sources,
                 {{"anther/core/cpu.hpp", "anther/export/embedded/serial.inl"},
                  {"anther/core/parallel_for.hpp", "anther/export/embedded/serial.inl"}}),
        rows_(plan_.entries().size()) {
    sources_.add("anther/export/embedded/model.inl");
    for (std::size_t i = 0; i < plan_.entries().size(); ++i) add_entry(i);
  }

  const Shape& output_shape() const { return pass_.output.shape(); }
  // Where the input, and after the pass the result, is in the memory.
  std::int64_t input_offset() const { return plan_.offset_of(pass_.tape.id_of(pass_.input)); }
  std::int64_t output_offset() const { return plan_.offset_of(pass_.tape.id_of(pass_.output)); }
  std::int64_t memory_size() const { return plan_.size(); }
  std::int64_t workspace_size() const { return workspace_size_; }
  std::int64_t plain_size() const { return std::max<std::int64_t>(plain_size_, 1); }
  std::int64_t packed_size() const { return std::max<std::int64_t>(packed_size_, 1); }
  std::int64_t scratch_size() const { return scratch_size_; }

  const std::string& statements() const { return statements_; }
  const std::vector<std::string>& weights() const { return weights_; }
  const std::vector<std::byte>& numbers() const { return numbers_; }
  const Amalgamation& sources() const { return sources_; }

  void include(std::string_view header) override { sources_.add(header); }
  std::string input(int i) override { return value(entry_->input(i)); }
  std::string add() override {
    added_ = true;
    return value(entry_->add);
  }
  std::string output(int i) override {
    return value(i == 0 && entry_->into >= 0 ? entry_->into
                                             : entry_->outputs[static_cast<std::size_t>(i)]);
  }
  std::string workspace(std::int64_t count) override {
    const std::int64_t at = workspace_used_;
    workspace_used_ += padded(count);
    workspace_size_ = std::max(workspace_size_, workspace_used_);
    return detail::text_of("workspace + ", at);
  }
  std::string packed(int i, const kernels::PackOptions& pack) override {
    const int parameter = pass_.tape.parameter_of(entry_->input(i)).number;
    detail::check(parameter >= 0, "input ", i,
                  ": expected a parameter; computed weights have no form here");
    // Room for any instruction set: all pad to vectors of 16 elements at most.
    const std::int64_t room = pack.groups * pack.depth * padded(pack.columns);
    const std::string options = code_of(pack);
    const std::string key = detail::text_of(parameter, options);
    const auto [known, is_new] = packed_.try_emplace(key, packed_size_);
    if (is_new) {
      add_weight(parameter, packed_size_, options);
      scratch_size_ = std::max(scratch_size_, std::ssize(store_.value(parameter)));
      packed_size_ += room;
    }
    return detail::text_of("packed + ", known->second);
  }
  std::string constant(const std::vector<double>& values) override { return add_plain(values); }
  std::string input_rows() override {
    detail::check(entry_->lazy >= 0, "expected a call with a lazy input");
    return rows_[static_cast<std::size_t>(entry_->lazy)];
  }
  void statement(const std::string& text) override { statements_ += "    " + text + ";\n"; }
  void rows(const std::string& text) override {
    rows_[number_] = detail::text_of(
        "[&](float* y, std::int64_t first, std::int64_t count) {\n      ", text, ";\n    }");
  }

 private:
  // In elements: whole vectors of the widest, and so aligned as they are.
  static constexpr std::int64_t padded(std::int64_t count) { return (count + 15) / 16 * 16; }

  // A pointer to a value's elements.
  std::string value(int id) {
    if (id < 0) return "nullptr";
    const int parameter = pass_.tape.parameter_of(id).number;
    if (parameter >= 0) {
      const auto known = plain_.find(parameter);
      if (known != plain_.end()) return known->second;
      const std::span<const float> values = store_.value(parameter);
      return plain_[parameter] = add_plain({values.begin(), values.end()});
    }
    detail::check(
        plan_.offset_of(id) >= 0,
        "a value that has no place in memory: a lazy result that is to be read by its rows, or "
        "one from outside");
    return detail::text_of("memory + ", plan_.offset_of(id));
  }

  std::string add_plain(const std::vector<double>& values) {
    const std::int64_t at = plain_size_;
    weights_.push_back("{" + code_list(add_numbers(values), std::ssize(values), at, "{}") + "}");
    plain_size_ += padded(std::ssize(values));
    return detail::text_of("plain + ", at);
  }
  void add_weight(int parameter, std::int64_t at, const std::string& options) {
    const std::span<const float> values = store_.value(parameter);
    weights_.push_back(
        "{" +
        code_list(add_numbers({values.begin(), values.end()}), std::ssize(values), at, options) +
        "}");
  }

  // Appends numbers, and fills their last word. Gives the number of the first.
  std::int64_t add_numbers(const std::vector<double>& values) {
    const std::int64_t size = io::size_of(dtype_);
    const auto first = numbers_.size();
    numbers_.resize((first + values.size() * static_cast<std::size_t>(size) + 3) / 4 * 4);
    encode(dtype_, values.data(), std::ssize(values), numbers_.data() + first);
    return static_cast<std::int64_t>(first) / size;
  }

  void add_entry(std::size_t number) {
    const auto& entry = plan_.entries()[number];
    if (entry.merged) return;  // the entry before has computed it
    entry_ = &entry;
    number_ = number;
    added_ = false;
    workspace_used_ = 0;
    const std::string where = entry.where();
    const CppForm form = cpp_form(*entry.op);
    detail::check(form != nullptr, where,
                  ": this op has no form in C++ (exports::add_cpp_form gives it one)");
    statements_ += detail::text_of("\n    // ", where, "\n");
    try {
      form(*this, Call<float>(pass_.tape, entry));
      detail::check(entry.add < 0 || added_, "its form leaves out the addition");
      const int result = entry.outputs[0];
      if (entry.op->forward_rows == nullptr) return;
      detail::check(!rows_[number].empty(), "its form says no rows of a lazy result");
      if (plan_.offset_of(result) >= 0)
        statement(detail::text_of(rows_[number], "(", value(result), ", 0, ",
                                  pass_.tape.shape_of(result).rows(), ")"));
    } catch (const Error& error) {
      detail::fail(where, ": cannot be embedded: ", error.what());
    }
  }

  DryRun<float> pass_;
  const ParameterStore<float>& store_;
  InferencePlan<float> plan_;
  io::Dtype dtype_;
  Amalgamation sources_;

  const InferencePlan<float>::Entry* entry_ = nullptr;
  std::size_t number_ = 0;
  bool added_ = false;               // whether it has asked for the addition
  std::int64_t workspace_used_ = 0;  // by it

  std::string statements_;
  std::vector<std::string> rows_;     // of each lazy entry
  std::vector<std::string> weights_;  // EmbeddedWeight's members
  std::vector<std::byte> numbers_;
  std::map<int, std::string> plain_;            // by parameter
  std::map<std::string, std::int64_t> packed_;  // by parameter and options
  std::int64_t workspace_size_ = 1, plain_size_ = 0, packed_size_ = 0, scratch_size_ = 1;
};

// The text of the header of a model, in evaluation, of one image: input is (1, H, W, 3).
class EmbeddedHeader {
 public:
  EmbeddedHeader(const Module<float>& model, const Shape& input, const EmbedOptions& options)
      : options_(options), input_(input), pass_((check_options(), model), input, options) {
    const Shape& output = pass_.output_shape();
    detail::check(
        output.rank() == 2 && output[0] == 1,
        "embed: expected a model whose result is the logits of one image (1, classes), got ",
        output);
    detail::check(!pass_.weights().empty(), "embed: expected a model with weights");
    detail::check(options.class_names.empty() || std::ssize(options.class_names) == output[1],
                  "embed: expected the names of ", output[1], " classes, got ",
                  options.class_names.size());
    add_introduction(model.type());
    add_kernels();
    add_pass();
    add_interface();
    add_numbers();
    add_end();
  }

  std::string take() { return std::move(text_); }

 private:
  static constexpr std::int64_t part_words = 13000;  // a literal of 65,000 characters

  void check_options() const {
    detail::check(input_.rank() == 4 && input_[0] == 1 && input_[3] == 3 && input_.numel() > 0,
                  "embed: expected one image (1, H, W, 3), got ", input_);
    detail::check(options_.dtype == io::Dtype::f32 || options_.dtype == io::Dtype::f16,
                  "embed: expected weights in F32 or F16, got ", options_.dtype);
    detail::check(is_namespace_name(options_.name), "embed: expected a name for a namespace, got ",
                  options_.name);
    detail::check(options_.sources != nullptr, "embed: expected where the kernels' text is");
  }

  template <class... Parts>
  void line(const Parts&... parts) {
    text_ += detail::text_of(parts...) + '\n';
  }
  // A line of the first comment.
  template <class... Parts>
  void note(const Parts&... parts) {
    std::string text = detail::text_of("// ", parts...);
    for (char& letter : text)
      if (std::iscntrl(static_cast<unsigned char>(letter)) || letter == '\\') letter = ' ';
    text_ += text.substr(0, text.find_last_not_of(' ') + 1) + '\n';
  }

  void add_introduction(const std::string& type) {
    const std::string& name = options_.name;
    const std::string file = options_.file.empty() ? name + ".hpp" : options_.file;
    note("A classifier, ", type, ", of images of ", input_[2], " x ", input_[1],
         " pixels, complete in this header: it needs");
    note("nothing but a C++20 compiler, GCC or Clang. Generated by Anther ", version, ".");
    note("");
    note("  #include <cstdio>");
    note("");
    note("  #include \"", file, "\"");
    note("");
    for (const char* const each :
         {"  int main() {", "    static NAME::Model model;",
          "    static unsigned char rgb[NAME::image_height * NAME::image_width * 3];",
          "    if (std::fread(rgb, 1, sizeof rgb, stdin) != sizeof rgb) return 1;",
          "    std::puts(NAME::class_names[model.classify(rgb)]);", "  }"}) {
      std::string text = each;
      for (std::size_t at; (at = text.find("NAME")) != text.npos;) text.replace(at, 4, name);
      note(text);
    }
    note("");
    note("The bytes are red, green and blue of each pixel, rows from the top.");
    for (const std::string& each : options_.notes) note(each);
    note("");
    note("A Model is the memory of one pass at a time (",
         kibibytes(pass_.memory_size() + pass_.workspace_size()), "): make it static, and one for");
    note("each thread. The weights (",
         kibibytes(pass_.plain_size() + pass_.packed_size() + pass_.scratch_size()),
         ") are shared; the first pass makes them ready.");
    note("Include this header in one source file, compiled with -O2: which of AVX-512, AVX2 and a");
    note("portable baseline it runs with is decided when the program runs. It uses no heap, no");
    note("exceptions and no threads.");
    line("#pragma once\n");
    for (const std::string& header : pass_.sources().standard_headers()) line("#include ", header);
    line();
  }

  static std::string kibibytes(std::int64_t floats) {
    return detail::text_of(floats / 256, " KiB");
  }

  void add_kernels() {
    for (const std::string& macro : pass_.sources().macros())
      line("#pragma push_macro(\"", macro, "\")\n#undef ", macro);
    line("\nnamespace ", options_.name, " {\n");
    line("// From here on parts of Anther.\n//");
    text_ += options_.sources("anther/export/embedded/license.inl") + '\n';
    text_ += pass_.sources().text();
  }

  void add_pass() {
    const auto number = [&](std::string_view name, std::int64_t value) {
      line("  static constexpr std::int64_t ", name, " = ", value, ";");
    };
    const auto three = [&](std::string_view name, const std::array<float, 3>& values) {
      const auto code = [](float value) { return code_of(static_cast<double>(value)) + "f"; };
      line("  static constexpr float ", name, "[] = {",
           code_list(code(values[0]), code(values[1]), code(values[2])), "};");
    };
    line("\n// This model: its sizes, its weights, and its layers, one after another.");
    line("struct Pass {");
    line("  static constexpr int height = ", input_[1], ", width = ", input_[2],
         ", classes = ", pass_.output_shape()[1], ";");
    three("mean", options_.mean);
    three("deviation", options_.std);
    number("input", pass_.input_offset());
    number("output", pass_.output_offset());
    number("memory_size", pass_.memory_size());
    number("workspace_size", pass_.workspace_size());
    number("plain_size", pass_.plain_size());
    number("packed_size", pass_.packed_size());
    number("scratch_size", pass_.scratch_size());
    number("part_words", part_words);
    line("  static constexpr bool half = ", options_.dtype == io::Dtype::f16 ? "true" : "false",
         ";");
    line("  static constexpr anther::exports::EmbeddedWeight weights[] = {");
    for (const std::string& weight : pass_.weights()) line("      ", weight, ",");
    line("  };");
    line("  static const char* const text[];\n");
    line("  static void run([[maybe_unused]] float* memory, [[maybe_unused]] float* workspace,");
    line("                  [[maybe_unused]] const float* plain,");
    line("                  [[maybe_unused]] const float* packed) {");
    line("    using namespace anther::kernels;");
    line(pass_.statements(), "  }\n};\n");
  }

  void add_interface() {
    line("inline constexpr int image_height = Pass::height, image_width = Pass::width,");
    line("                     classes = Pass::classes;");
    line("inline constexpr const char* class_names[] = {");
    for (std::int64_t i = 0; i < pass_.output_shape()[1]; ++i)
      line("    ",
           string_literal(options_.class_names.empty()
                              ? std::to_string(i)
                              : options_.class_names[static_cast<std::size_t>(i)]),
           ",");
    line("};\nusing Model = anther::exports::EmbeddedModel<Pass>;\n");
  }

  void add_numbers() {
    line("inline const char* const Pass::text[] = {");
    const std::vector<std::byte>& numbers = pass_.numbers();
    std::string part;
    for (std::size_t at = 0; at < numbers.size(); at += 4) {
      std::uint32_t word;
      std::memcpy(&word, numbers.data() + at, 4);
      part.resize(part.size() + 5);
      io::to_base85(part.data() + part.size() - 5, word);
      if (std::ssize(part) < 5 * part_words && at + 4 < numbers.size()) continue;
      line('"', part, "\",");
      part.clear();
    }
    line("};\n");
  }

  void add_end() {
    line("}  // namespace ", options_.name, "\n");
    for (const std::string& macro : pass_.sources().macros())
      line("#undef ", macro, "\n#pragma pop_macro(\"", macro, "\")");
  }

  const EmbedOptions& options_;
  Shape input_;
  EmbeddedPass pass_;
  std::string text_;
};

// input: (1, H, W, 3), the size of the images.
inline std::string to_header(const Module<float>& model, const Shape& input,
                             const EmbedOptions& options) {
  return EmbeddedHeader(model, input, options).take();
}

// Writes it, atomically.
inline void write_header(const std::filesystem::path& path, const Module<float>& model,
                         const Shape& input, EmbedOptions options) {
  if (options.file.empty()) options.file = path.filename().string();
  io::write_file_atomically(path, to_header(model, input, options));
}

}  // namespace anther::inline v0_1::exports
