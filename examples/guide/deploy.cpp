// A model of your own for other programs: as ONNX, and as one C++ header that needs nothing.
#include <anther/anther.hpp>
#include <anther/export/cpp_header.hpp>
#include <anther/export/onnx.hpp>
#include <cstdio>
#include <filesystem>

using namespace anther;

struct Net : Module<float> {
  explicit Net(const Scope<float>& scope)
      : Module(scope, "Net"), in(scope / "in", 8, 32), out(scope / "out", 32, 1) {}
  Variable<float> forward(Variable<float> x) const override { return out(gelu(in(x))); }
  Linear<float> in, out;
};

int main() {
  ParameterStore<float> parameters;
  const Net net(parameters);
  parameters.initialize(1);  // or load_weights: see save_and_load.cpp
  const auto folder = std::filesystem::temp_directory_path();
  // The shape of an input, with a batch of one sample: here a vector of eight numbers.
  exports::write_onnx(folder / "net.onnx", net, {1, 8});
  exports::write_cpp_header(folder / "net.hpp", net, {1, 8}, {.name = "net"});
  for (const char* name : {"net.onnx", "net.hpp"}) {
    const auto bytes = std::filesystem::file_size(folder / name);
    std::printf("%s: %ju bytes\n", name, static_cast<std::uintmax_t>(bytes));
    std::filesystem::remove(folder / name);
  }
}
