// What a step costs ranks beside the model's own work: gradients are folded and sent to those that
// own them, Adam steps, and the weights come back; and what a short message to all costs.
//
//   mpirun -np 2 bench_exchange [PARAMETERS, in millions [LANES of each rank [STEPS]]]
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "anther/anther.hpp"
#include "anther/distributed/mpi.hpp"
#include "anther/train/agreement.hpp"
#include "anther/train/gradient_exchange.hpp"

namespace {

using namespace anther;

// Seconds of each of `times` calls.
template <class Call>
std::vector<double> times_of(std::int64_t times, const Call& call) {
  using namespace std::chrono;
  std::vector<double> seconds;
  for (std::int64_t i = 0; i < times; ++i) {
    const auto begin = steady_clock::now();
    call();
    seconds.push_back(duration<double>(steady_clock::now() - begin).count());
  }
  std::sort(seconds.begin(), seconds.end());
  return seconds;
}

}  // namespace

int main(int argc, char** argv) {
  MpiGroup ranks(argc, argv);
  return ranks.run("bench_exchange", [&] {
    const double millions = argc > 1 ? std::atof(argv[1]) : 3.8;
    const std::int64_t each = argc > 2 ? std::atoll(argv[2]) : 1;
    const std::int64_t steps = argc > 3 ? std::atoll(argv[3]) : 10;
    detail::check(millions > 0 && each > 0 && steps > 0, "expected numbers above 0");
    ParameterStore<float> store;
    const Linear<float> layer(Scope<float>(store) / "layer", 999,
                              static_cast<std::int64_t>(millions * 1e3));
    store.initialize(1);
    Adam<float> optimizer(store);
    optimizer.share(ranks);
    GradientExchange<float> exchange(&ranks, each * ranks.size(), store.size());
    std::vector<AlignedBuffer<float>> gradients;
    for (std::int64_t i = 0; i < each; ++i) {
      gradients.emplace_back(store.size());
      std::ranges::fill(gradients.back().span(), 1e-3f);
    }
    const auto step = [&] { optimizer.step(exchange.sum(gradients, 0.5f), 1e-3); };
    step();
    const std::vector<double> taken = times_of(steps, step);
    Agreement agreement(&ranks, {}, {});
    const std::vector<double> agreed = times_of(10 * steps, [&] { agreement.agree(); });
    if (ranks.rank() != 0) return 0;
    const double size = static_cast<double>(store.size()) * sizeof(float);
    std::printf(
        "%s, %.1f million parameters, %lld lanes each: %.4f s a step (%.4f at least), "
        "%.1f MB to send, %.6f s to agree\n",
        ranks.size() > 1 ? ranks.description().c_str() : "one process", size / 4e6,
        static_cast<long long>(each), taken[taken.size() / 2], taken[0],
        2 * size * (1 - 1.0 / ranks.size()) / 1e6, agreed[agreed.size() / 2]);
    return 0;
  });
}
