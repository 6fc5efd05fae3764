// A stranger's training, over MPI where mpirun starts it. Without the lines that are marked it is
// the same training in one process: the test removes them.
#include <anther/anther.hpp>
#include <anther/data/table.hpp>
#include <anther/distributed/mpi.hpp>  // MPI
#include <anther/train/fit.hpp>
#include <anther/train/objectives.hpp>
#include <bit>
#include <cstdint>
#include <cstdio>
#include <memory>

using namespace anther;

struct Net : Module<float> {
  explicit Net(const Scope<float>& scope)
      : Module(scope, "Net"), in(scope / "in", 4, 300), out(scope / "out", 300, 1) {}
  Variable<float> forward(Variable<float> x) const override { return out(gelu(in(x))); }
  Linear<float> in, out;
};

data::DatasetPointer table(std::uint64_t seed) {
  Tensor<float> x({320, 4}), y({320});
  for (std::int64_t i = 0; i < 320; ++i) {
    for (std::int64_t j = 0; j < 4; ++j)
      x[4 * i + j] =
          static_cast<float>(uniform(RandomKey(seed), static_cast<std::uint64_t>(4 * i + j)));
    y[i] = x[4 * i] * x[4 * i + 1] + x[4 * i + 2];
  }
  return std::make_shared<data::Table>(x, y);
}

int main([[maybe_unused]] int argc, [[maybe_unused]] char** argv) {
  MpiGroup ranks(argc, argv);         // MPI
  return ranks.run("with_mpi", [&] {  // MPI
    ParameterStore<float> parameters;
    const Net net(parameters);
    parameters.initialize(1);
    Adam<float> optimizer(parameters);
    data::Loader train(table(1), {.batch_size = 32, .shuffle = true}), val(table(2), {});
    FitOptions options{.objective = mse_objective(),
                       .metrics = {root_mean_squared_error()},
                       .epochs = 20,
                       .schedule = cosine_schedule(1e-2),
                       .trainer = {.micro_batch = 4, .lanes = 4}};
    options.trainer.group = &ranks;  // MPI
    const History history = fit(net, optimizer, train, val, options);
    std::uint64_t digest = 0;
    for (const float value : std::as_const(parameters).values())
      digest = RandomKey(digest).fold(std::bit_cast<std::uint32_t>(value)).value();
    if (ranks.rank() != 0) return 0;  // MPI
    std::printf("error %.4f, weights %016llx\n", history.back().metric().value,
                static_cast<unsigned long long>(digest));
    return 0;
  });  // MPI
}
