// A model as one C++ header that needs nothing but the standard library: the calls of kernels that
// make up its forward pass, the text of those kernels, and the weights as string literals.
//
// The header's own first lines say how it is used; tests/export/cpp_header_test.cpp compiles and
// runs some.
#pragma once

#include <array>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/core/version.hpp"
#include "anther/export/amalgamation.hpp"
#include "anther/export/cpp_pass.hpp"
#include "anther/export/cpp_text.hpp"
#include "anther/io/atomic_file.hpp"
#include "anther/io/base85.hpp"
#include "anther/io/dtype.hpp"

namespace anther::inline v0_1::exports {

// What makes a model a classifier of images: it takes (1, H, W, 3) and gives (1, classes).
struct CppImageClassifier {
  // Of red, green and blue: the model is given (level / 255 - mean) / std.
  std::array<float, 3> mean = {0, 0, 0};
  std::array<float, 3> std = {1, 1, 1};
  std::vector<std::string> class_names = {};  // empty: the classes' numbers
};

// The headers that this program was compiled with, if they are still where they were.
inline SourceReader own_sources() {
  return sources_in(std::filesystem::path(__FILE__).parent_path().parent_path().parent_path());
}

struct CppHeaderOptions {
  std::string name = "model";  // the namespace that everything stands in
  std::string file = {};       // the header's own name, for its example; empty: NAME.hpp
  // Of the weights: f32; f16; or bf16, with which products are of numbers in bfloat16, as with
  // TapeOptions::amp, and the weights that they read are stored so.
  io::Dtype dtype = io::Dtype::f32;
  // Where the kernels' text is.
  SourceReader sources = own_sources();
  // If given, the header's Model also has classify(pixels) and logits(pixels), which take the bytes
  // of an image.
  std::optional<CppImageClassifier> images = {};
  std::vector<std::string> notes = {};  // lines of the header's first comment
};

// The text of the header of a model, in evaluation, for inputs of one shape.
class CppHeader {
 public:
  CppHeader(const Module<float>& model, const Shape& input, const CppHeaderOptions& options)
      : options_(options),
        input_(input),
        pass_((check_options(), model), input, options.dtype, options.sources,
              options.images ? "anther/export/generated/image_classifier.inl"
                             : "anther/export/generated/model.inl") {
    detail::check(!pass_.weights().empty(), "C++ header: expected a model with weights");
    check_size("output", output());
    if (options.images) check_classes();
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

  Shape output() const { return pass_.output_shape(); }
  bool is_bf16() const { return options_.dtype == io::Dtype::bf16; }

  void check_options() const {
    check_size("input", input_);
    detail::check(!options_.images || (input_.rank() == 4 && input_[0] == 1 && input_[3] == 3),
                  "C++ header: expected one image (1, H, W, 3), got ", input_);
    detail::check(options_.dtype == io::Dtype::f32 || options_.dtype == io::Dtype::f16 ||
                      options_.dtype == io::Dtype::bf16,
                  "C++ header: expected weights in F32, F16 or BF16, got ", options_.dtype);
    detail::check(is_namespace_name(options_.name),
                  "C++ header: expected a name for a namespace, got ", options_.name);
    detail::check(options_.sources != nullptr,
                  "C++ header: expected where the kernels' text is (sources)");
  }
  static void check_size(std::string_view what, const Shape& shape) {
    detail::check(shape.numel() > 0 && shape.numel() <= std::numeric_limits<std::int32_t>::max(),
                  "C++ header: expected an ", what, " of 1 to 2^31 - 1 elements, got the shape ",
                  shape);
  }
  void check_classes() const {
    detail::check(
        output().rank() == 2 && output()[0] == 1,
        "C++ header: expected a model whose result is the logits of one image (1, classes), got ",
        output());
    const std::vector<std::string>& names = options_.images->class_names;
    detail::check(names.empty() || std::ssize(names) == output()[1],
                  "C++ header: expected the names of ", output()[1], " classes, got ",
                  names.size());
  }

  template <class... Parts>
  void line(const Parts&... parts) {
    text_ += detail::text_of(parts...) + '\n';
  }
  // A line of the first comment. One that ended with a backslash would go on in the next.
  template <class... Parts>
  void note(const Parts&... parts) {
    std::string text = detail::text_of("// ", parts...);
    for (char& letter : text)
      if (std::iscntrl(static_cast<unsigned char>(letter))) letter = ' ';
    text_ += text.substr(0, text.find_last_not_of(" \\") + 1) + '\n';
  }

  void add_introduction(const std::string& type) {
    if (options_.images)
      note("A classifier, ", type, ", of images of ", input_[2], " x ", input_[1],
           " pixels, complete in this header: it needs");
    else
      note("A model, ", type, ", from ", input_, " to ", output(),
           ", complete in this header: it needs");
    note("nothing but a C++20 compiler, GCC or Clang. Generated by Anther ", version, ".");
    note("");
    add_example();
    note("");
    if (options_.images)
      note("The bytes are red, green and blue of each pixel, rows from the top.");
    else
      note("Both are in row-major order, the last axis side by side.");
    if (pass_.reads_integers())
      note(
          "The integers are not checked: each must be a row's number of the table that it is for.");
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
    if (is_bf16())
      note(
          "Products are of numbers in bfloat16: on AMX where there is one, else slower than in "
          "float, to the same bits.");
    line("#pragma once\n");
    for (const std::string& header : pass_.sources().standard_headers()) line("#include ", header);
    line();
  }

  void add_example() {
    constexpr std::string_view image_example = R"(
static unsigned char pixels[NAME::image_height * NAME::image_width * 3];
if (std::fread(pixels, 1, sizeof pixels, stdin) != sizeof pixels) return 1;
std::puts(NAME::class_names[model.classify(pixels)]);)";
    constexpr std::string_view number_example = R"(
static INPUT input[NAME::input_size];
for (INPUT& number : input)
  if (std::scanf("%IN", &number) != 1) return 1;
const OUTPUT* output = model.run(input);
for (int i = 0; i < NAME::output_size; ++i) std::printf("OUT\n", output[i]);)";
    const std::string& name = options_.name;
    note("  #include <cstdio>");
    note("");
    note("  #include \"", options_.file.empty() ? name + ".hpp" : options_.file, "\"");
    note("");
    note("  int main() {");
    std::string code = "static NAME::Model model;";
    code += options_.images ? image_example : number_example;
    const auto replace = [&](std::string_view word, std::string_view by) {
      for (std::size_t at = 0; (at = code.find(word, at)) != code.npos; at += by.size())
        code.replace(at, word.size(), by);
    };
    const bool reads_integers = pass_.reads_integers(), gives_integers = pass_.gives_integers();
    replace("INPUT", reads_integers ? "std::int32_t" : "float");
    replace("%IN", reads_integers ? "%d" : "%f");
    replace("OUTPUT", gives_integers ? "std::int32_t" : "float");
    replace("OUT", gives_integers ? "%d" : "%.9g");
    replace("NAME", name);
    for (std::size_t at = 0; at < code.size();) {
      const std::size_t end = std::min(code.find('\n', at), code.size());
      note("    ", code.substr(at, end - at));
      at = end + 1;
    }
    note("  }");
  }

  static std::string kibibytes(std::int64_t floats) {
    return detail::text_of(floats / 256, " KiB");
  }

  void add_kernels() {
    for (const std::string& macro : pass_.sources().macros())
      line("#pragma push_macro(\"", macro, "\")\n#undef ", macro);
    line("\nnamespace ", options_.name, " {\n");
    line("// From here on parts of Anther.\n//");
    text_ += options_.sources("anther/export/generated/license.inl") + '\n';
    text_ += pass_.sources().text();
  }

  void add_pass() {
    const auto number = [&](std::string_view name, std::int64_t value) {
      line("  static constexpr std::int64_t ", name, " = ", value, ";");
    };
    line("\n// This model: its sizes, its weights, and its layers, one after another.");
    line("struct Pass {");
    if (options_.images) {
      line("  static constexpr int height = ", input_[1], ", width = ", input_[2],
           ", classes = ", output()[1], ";");
      three("mean", options_.images->mean);
      three("deviation", options_.images->std);
    }
    line("  using Input = ", pass_.reads_integers() ? "std::int32_t" : "float", ";");
    line("  using Output = ", pass_.gives_integers() ? "std::int32_t" : "float", ";");
    number("input", pass_.input_offset());
    number("input_size", input_.numel());
    number("output", pass_.output_offset());
    number("memory_size", pass_.memory_size());
    number("integers_size", pass_.integers_size());
    number("workspace_size", pass_.workspace_size());
    number("plain_size", pass_.plain_size());
    number("packed_size", pass_.packed_size());
    number("scratch_size", pass_.scratch_size());
    number("part_words", part_words);
    line("  static constexpr bool half = ", options_.dtype == io::Dtype::f16 ? "true" : "false",
         ";");
    line("  static constexpr anther::exports::GeneratedWeight weights[] = {");
    for (const std::string& weight : pass_.weights()) line("      ", weight, ",");
    line("  };");
    line("  static const char* const text[];\n");
    const std::string_view begin = is_bf16() ? "anther::exports::use_generated_bf16();" : "";
    const std::string_view end = is_bf16() ? "anther::exports::end_generated_bf16();" : "";
    line("  // Before the weights are packed, and after each pass.");
    line("  static void begin() {", begin, "}");
    line("  static void end() {", end, "}\n");
    line("  static void run([[maybe_unused]] float* memory,");
    line("                  [[maybe_unused]] std::int32_t* integers,");
    line("                  [[maybe_unused]] float* workspace,");
    line("                  [[maybe_unused]] const float* plain,");
    line("                  [[maybe_unused]] const float* packed) {");
    line("    using namespace anther::kernels;");
    line(pass_.statements(), "  }\n};\n");
  }
  void three(std::string_view name, const std::array<float, 3>& values) {
    line("  static constexpr float ", name, "[] = {", code_list(values[0], values[1], values[2]),
         "};");
  }

  void add_interface() {
    line("inline constexpr int input_size = ", input_.numel(), ", output_size = ", output().numel(),
         ";");
    if (!options_.images) {
      line("using Model = anther::exports::GeneratedModel<Pass>;\n");
      return;
    }
    line("inline constexpr int image_height = Pass::height, image_width = Pass::width,");
    line("                     classes = Pass::classes;");
    line("inline constexpr const char* class_names[] = {");
    const std::vector<std::string>& names = options_.images->class_names;
    for (std::int64_t i = 0; i < output()[1]; ++i)
      line("    ",
           string_literal(names.empty() ? std::to_string(i) : names[static_cast<std::size_t>(i)]),
           ",");
    line("};\nusing Model = anther::exports::GeneratedImageClassifier<Pass>;\n");
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

  const CppHeaderOptions& options_;
  Shape input_;
  CppPass pass_;
  std::string text_;
};

// input: the shape of what the model takes, including the batch.
inline std::string to_cpp_header(const Module<float>& model, const Shape& input,
                                 const CppHeaderOptions& options) {
  return CppHeader(model, input, options).take();
}

// Writes that header, atomically.
inline void write_cpp_header(const std::filesystem::path& path, const Module<float>& model,
                             const Shape& input, CppHeaderOptions options) {
  if (options.file.empty()) options.file = path.filename().string();
  io::write_file_atomically(path, to_cpp_header(model, input, options));
}

}  // namespace anther::inline v0_1::exports
