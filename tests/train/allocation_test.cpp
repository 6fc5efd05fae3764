// A training step in its steady state makes no heap allocation: counted where they all come by, at
// malloc. Not under the sanitizers, which have a malloc of their own.
#include <doctest/doctest.h>
#include <execinfo.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <barrier>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <new>
#include <thread>
#include <utility>
#include <vector>

#include "anther/core/openmp.hpp"
#include "anther/models/edgevit/edgevit.hpp"
#include "anther/optim/adam.hpp"
#include "anther/optim/clip_grad.hpp"
#include "anther/optim/model_ema.hpp"
#include "anther/train/metrics.hpp"
#include "anther/train/objectives.hpp"
#include "anther/train/predictor.hpp"
#include "anther/train/trainer.hpp"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define ANTHER_TEST_SANITIZED
#endif
#endif
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && \
    !defined(ANTHER_TEST_SANITIZED)

namespace {

std::atomic<bool> counting{false};
std::atomic<int> allocations{0};
// Who asked for the first of them.
void* frames[40];
std::atomic<int> frame_count{0};

void note_allocation() {
  if (!counting.load(std::memory_order_relaxed)) return;
  if (allocations.fetch_add(1) == 0) frame_count = ::backtrace(frames, 40);
}

}  // namespace

// These stand in for the C library's in the whole program. free() stays its own.
extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* old, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);

void* malloc(std::size_t size) noexcept {
  note_allocation();
  return __libc_malloc(size);
}
void* calloc(std::size_t count, std::size_t size) noexcept {
  note_allocation();
  return __libc_calloc(count, size);
}
void* realloc(void* old, std::size_t size) noexcept {
  note_allocation();
  return __libc_realloc(old, size);
}
void* memalign(std::size_t alignment, std::size_t size) noexcept {
  note_allocation();
  return __libc_memalign(alignment, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
  note_allocation();
  return __libc_memalign(alignment, size);
}
int posix_memalign(void** memory, std::size_t alignment, std::size_t size) noexcept {
  note_allocation();
  *memory = __libc_memalign(alignment, size);
  return *memory || size == 0 ? 0 : ENOMEM;
}
}

namespace {

using namespace anther;
using namespace anther::detail;
using namespace anther::kernels;

// Allocations while function() runs, on all threads.
template <class Function>
int allocations_of(const Function& function) {
  allocations = 0;
  counting = true;
  function();
  counting = false;
  return allocations;
}

TEST_CASE("allocation: the counter counts, on every thread") {
  void* frame[1];
  ::backtrace(frame, 1);  // which allocates when it is first called
  CHECK(allocations_of([] {}) == 0);
  CHECK(allocations_of([] { ::operator delete(::operator new(8)); }) == 1);
  CHECK(allocations_of([] { AlignedBuffer<float>(100); }) == 1);
  set_num_threads(2);
  const auto work = [](int size) {
    parallel_for(2, 1 << 30, [&](std::int64_t) { AlignedBuffer<float> memory(size); });
  };
  work(0);  // starts the team
  CHECK(allocations_of([&] { work(0); }) == 0);
  CHECK(allocations_of([&] { work(100); }) == 2);
  set_num_threads(0);
}

// Eight plans at once, one in each thread: the op waits until all are there.
constexpr int callers = 8;
std::barrier<>* meeting = nullptr;
template <class T>
inline constexpr Op<T> meet_op = {
    .name = "meet",
    .forward =
        [](Call<T>& call) {
          meeting->arrive_and_wait();
          std::copy_n(call.input(0), call.output_shape().numel(), call.output());
        },
    .backward = nullptr,
};
struct Meeting : Module<float> {
  explicit Meeting(const Scope<float>& scope)
      : Module<float>(scope, "Meeting"), in(scope / "in", 6, 40), out(scope / "out", 40, 3) {}
  Variable<float> forward(Variable<float> x) const override {
    x = in(x);
    return out(gelu(x.tape().apply(meet_op<float>, 0, {x}, x.shape())));
  }
  Linear<float> in, out;
};

TEST_CASE("allocation: predictions of eight threads at once make none after the first") {
  ParameterStore<float> store;
  const Meeting model(store);
  store.initialize(1);
  std::barrier<> inside(callers), around(callers);
  meeting = &inside;
  set_num_threads(2);  // fewer than there are callers
  const Predictor<float> predictor(model, {6});
  std::array<std::array<float, 3>, callers> results{};
  std::array<int, 4> counts{};
  const auto call = [&](int caller) {
    const std::array<float, 6> sample = {1, 2, 3, 4, 5, 6};
    for (std::size_t round = 0; round < counts.size(); ++round) {
      around.arrive_and_wait();
      if (caller == 0) {
        allocations = 0;
        counting = true;
      }
      around.arrive_and_wait();
      predictor(sample, results[static_cast<std::size_t>(caller)]);
      around.arrive_and_wait();
      if (caller == 0) {
        counting = false;
        counts[round] = allocations;
      }
    }
  };
  {
    std::vector<std::jthread> threads;
    for (int caller = 0; caller < callers; ++caller) threads.emplace_back(call, caller);
  }
  CHECK(counts[0] > 0);  // the plans
  for (std::size_t round = 1; round < counts.size(); ++round) CHECK(counts[round] == 0);
  for (const auto& result : results) CHECK(result == results[0]);
  set_num_threads(0);
}

TEST_CASE("allocation: a training step in its steady state makes none") {
  ParameterStore<float> store;
  EdgeViTOptions model_options = edgevit_options("xxs", 10);
  model_options.drop = 0.1;
  model_options.drop_path = 0.1;
  const EdgeViT<float> model(store, model_options);
  store.initialize(1);
  const Shape shape = {8, 64, 64, 3};
  Tensor<float> images(shape);
  for (std::int64_t i = 0; i < images.size(); ++i)
    images[i] = static_cast<float>(uniform(RandomKey(2), static_cast<std::uint64_t>(i)));
  data::Batch batch;
  batch.inputs = std::move(images);
  batch.labels = {0, 1, 2, 3, 4, 5, 6, 7};
  batch.labels2 = {7, 6, 5, 4, 3, 2, 1, 0};
  batch.lambda.assign(8, 0.75f);
  batch.indices.resize(8);

  for (const int threads : {1, 2})
    for (const std::int64_t lanes : {1, 4}) {
      CAPTURE(threads);
      CAPTURE(lanes);
      set_num_threads(threads);
      Trainer<float> trainer(
          model, cross_entropy_objective({.logit_offsets = std::vector<double>(10, 0.1)}),
          {.micro_batch = lanes > 1 ? 1 : 8, .lanes = lanes});
      MetricSums metrics({top_k(1), top_k(5)});
      Adam<float> adam(store);
      ModelEma<float> ema(store, 0.99);
      GradientNorm<float> norm(store.size());
      adam.set_lr_scales(std::vector<double>(store.parameters().size(), 0.5));
      const auto train = [&] {
        trainer.begin_step(adam.steps());
        trainer.add(batch);
        metrics.add({trainer.output_shape(), trainer.outputs()}, batch);
        trainer.finish_step();
        if (!trainer.not_finite().empty()) fail("not finite");
        adam.step(trainer.gradients(), 1e-4, clip_scale(norm(trainer.gradients()), 1));
        trainer.commit();
        ema.update(adam.steps());
      };
      for (int warm_up = 0; warm_up < 3; ++warm_up) train();
      // On a busy machine a thread may come to its first lane late, and then takes its memory,
      // once. A steady state is a long row of steps without any.
      constexpr int enough = 6;
      int quiet = 0;
      for (int i = 0; i < 60 && quiet < enough; ++i)
        quiet = allocations_of(train) == 0 ? quiet + 1 : 0;
      set_num_threads(0);
      if (quiet < enough) ::backtrace_symbols_fd(frames, frame_count, STDERR_FILENO);
      CHECK(quiet == enough);
    }
}

}  // namespace

#endif
