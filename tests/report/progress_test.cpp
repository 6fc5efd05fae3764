#include "anther/report/progress.hpp"

#include <doctest/doctest.h>

#include <cstdio>
#include <limits>
#include <string>
#include <vector>

#include "../io/temporary_folder.hpp"

namespace {

using anther::report::Progress;
using anther::report::ProgressOptions;

// A stream whose text can be looked at, and a clock that is set by hand.
struct Stage {
  char* memory = nullptr;
  std::size_t size = 0;
  std::FILE* out = ::open_memstream(&memory, &size);
  double now = 1000;

  ~Stage() {
    std::fclose(out);
    std::free(memory);
  }
  ProgressOptions options(bool terminal, int columns = 0) {
    return {.out = out,
            .terminal = terminal,
            .columns = columns,
            .clock = [this] { return now; },
            .unit = "img"};
  }
  std::string text() {
    std::fflush(out);
    return {memory, size};
  }
  // What a terminal shows: each line as it was last drawn. A line that needs `columns` columns or
  // more (it would wrap) is an error.
  std::vector<std::string> shown(int columns) {
    std::vector<std::string> lines(1);
    std::size_t at = 0;
    const std::string all = text();
    for (std::size_t i = 0; i < all.size(); ++i) {
      std::string& line = lines.back();
      if (all[i] == '\n') {
        lines.emplace_back();
        at = 0;
      } else if (all[i] == '\r') {
        at = 0;
      } else if (all.compare(i, 3, "\x1b[K") == 0) {
        line.resize(at);
        i += 2;
      } else {
        line.resize(std::max(line.size(), at + 1));
        line[at++] = all[i];
        CHECK(static_cast<int>(line.size()) < columns);
      }
    }
    return lines;
  }
};

TEST_CASE("format_duration") {
  CHECK(anther::report::format_duration(0) == "0s");
  CHECK(anther::report::format_duration(59.4) == "59s");
  CHECK(anther::report::format_duration(59.6) == "1:00");
  CHECK(anther::report::format_duration(65) == "1:05");
  CHECK(anther::report::format_duration(3599.4) == "59:59");
  CHECK(anther::report::format_duration(3600) == "1:00:00");
  CHECK(anther::report::format_duration(3600 * 123 + 67) == "123:01:07");
  CHECK(anther::report::format_duration(-1) == "?");
  CHECK(anther::report::format_duration(std::numeric_limits<double>::quiet_NaN()) == "?");
  CHECK(anther::report::format_duration(std::numeric_limits<double>::infinity()) == "?");
}

TEST_CASE("format_loss") {
  CHECK(anther::report::format_loss(3.99114) == "3.9911");
  CHECK(anther::report::format_loss(0) == "0.0000");
  CHECK(anther::report::format_loss(0.00012) == "1.200e-04");
  CHECK(anther::report::format_loss(123456) == "1.235e+05");
  CHECK(anther::report::format_loss(std::numeric_limits<double>::quiet_NaN()) == "nan");
}

TEST_CASE("progress: a terminal of 80 columns") {
  Stage stage;
  Progress progress(stage.options(true, 80));
  progress.start("Epoch 3/20", 49, 6149);
  CHECK(stage.shown(80).back() == "Epoch 3/20   0/49 [............]");
  for (int step = 1; step <= 12; ++step) {
    stage.now += 3.45;
    progress.update(
        {.steps = step, .samples = 128 * step, .loss = 3.99112, .metric = "top-1 8.2%"});
  }
  CHECK(stage.shown(80).back() ==
        "Epoch 3/20  12/49 [=>..........] loss 3.9911  top-1 8.2%  37.1 img/s  ETA 2:04");
  CHECK(progress.samples_per_second() == doctest::Approx(128 / 3.45));
  for (int step = 13; step <= 49; ++step) {
    stage.now += 3.45;
    progress.update({.steps = step,
                     .samples = std::min(6149, 128 * step),
                     .loss = 3.8,
                     .metric = "top-1 12.3%"});
  }
  progress.finish();
  const auto lines = stage.shown(80);
  REQUIRE(lines.size() == 2);
  CHECK(lines[0] ==
        "Epoch 3/20  49/49 [==========] loss 3.8000  top-1 12.3%  36.4 img/s  time 2:49");
  CHECK(lines[1].empty());
}

TEST_CASE("progress: no width makes it wrap, and the narrower the less it says") {
  std::string before;
  std::vector<bool> parts_before(5);
  for (int columns = 1; columns <= 200; ++columns) {
    CAPTURE(columns);
    Stage stage;
    Progress progress(stage.options(true, columns));
    progress.start("Epoch 12/20", 1049, 61490);
    for (int step = 1; step < 1000; step += 131) {
      stage.now += 100.0 * step;
      const std::string metric = anther::report::formatted("acc %.1f%%", 0.1 * step);
      progress.update({.steps = step,
                       .samples = 58 * step,
                       .loss = 0.00001 * step * step * step,
                       .metric = metric,
                       .note = "wait 12%"});
    }
    const auto lines = stage.shown(columns);
    REQUIRE(lines.size() == 1);
    std::size_t i = 0;
    for (const char* part : {"ETA", "acc", "img/s", "wait", "["}) {
      const bool there = contains(lines[0], part);
      CHECK(there >= parts_before[i]);
      if (i > 0) CHECK(there <= contains(lines[0], i == 1 ? "ETA" : "acc"));
      parts_before[i++] = there;
    }
    if (columns == 20) CHECK(lines[0] == "Epoch 12/20  918/10");
    if (columns == 60)
      CHECK(lines[0] == "Epoch 12/20  918/1049 loss 7736.2063 acc 91.8% ETA 27:40:29");
    if (columns == 200)
      CHECK(contains(lines[0], "[=========================>....] loss 7736.2063  acc 91.8%  "));
  }
  for (const bool there : parts_before) CHECK(there);
}

TEST_CASE("progress: drawn ten times a second at most") {
  Stage stage;
  Progress progress(stage.options(true, 80));
  progress.start("Epoch 1/1", 1000, 1000);
  for (int step = 1; step <= 1000; ++step) {
    stage.now += 0.001;
    progress.update({.steps = step, .samples = step});
  }
  progress.finish();
  const std::string text = stage.text();
  const auto drawn = std::count(text.begin(), text.end(), '\r');
  CHECK(drawn >= 10);
  CHECK(drawn <= 12);
  CHECK(contains(text, "1000/1000 [==============================] 1000 img/s  time 1s"));
}

TEST_CASE("progress: plain lines where there is no terminal") {
  Stage stage;
  {
    Progress progress(stage.options(false, 80));
    progress.start("Epoch 1/2", 49, 6149);
    for (int step = 1; step <= 49; ++step) {
      stage.now += 10;
      progress.update({.steps = step,
                       .samples = std::min(6149, 128 * step),
                       .loss = 4.5,
                       .note = "a note that makes the line longer than eighty columns, by far"});
    }
    progress.finish();
    progress.start("Epoch 2/2", 3, 3);
    progress.update({.steps = 1, .samples = 1});
  }
  const std::string text = stage.text();
  CHECK(std::count(text.begin(), text.end(), '\n') == 11);
  CHECK(text.find_first_of("\r\x1b[") == std::string::npos);
  CHECK(
      text.starts_with("Epoch 1/2   5/49  loss 4.5000  12.8 img/s  a note that makes the line "
                       "longer than eighty columns, by far  ETA 7:10\nEpoch 1/2  10/49  "));
  CHECK(contains(text, "\nEpoch 1/2  49/49  loss 4.5000  12.5 img/s  "));
  CHECK(text.ends_with("time 8:10\nEpoch 2/2  1/3  ETA ?\n"));
}

TEST_CASE("progress: the ETA is smooth, and follows a change of speed") {
  Stage stage;
  Progress progress(stage.options(true, 80));
  progress.start("Epoch 1/1", 1000, 1000);
  CHECK(std::isinf(progress.seconds_left()));
  int step = 0;
  const auto run = [&](int steps, double seconds) {
    for (const int end = step + steps; step < end;) {
      stage.now += seconds;
      ++step;
      progress.update({.steps = step, .samples = step});
    }
  };
  run(100, 1);
  CHECK(progress.seconds_left() == doctest::Approx(900));
  run(1, 3);  // one slow step moves it by little
  CHECK(progress.seconds_left() > 899);
  CHECK(progress.seconds_left() < 1100);
  run(100, 2);  // after 200 seconds at half the speed it is believed
  CHECK(progress.seconds_left() == doctest::Approx(799 * 2).epsilon(0.01));
}

TEST_CASE("progress: text above the bar, and an exception below it") {
  Stage stage;
  try {
    Progress progress(stage.options(true, 80));
    progress.start("Epoch 1/1", 10, 10);
    stage.now += 1;
    progress.update({.steps = 1, .samples = 1, .loss = std::numeric_limits<double>::quiet_NaN()});
    progress.print("a.jpg: skipped");
    throw 1;
  } catch (int) {
    std::fputs("a.jpg: truncated\n", stage.out);
  }
  const auto lines = stage.shown(80);
  REQUIRE(lines.size() == 4);
  CHECK(lines[0] == "a.jpg: skipped");
  CHECK(contains(lines[1], " 1/10 ["));
  CHECK(contains(lines[1], "loss nan"));
  CHECK(lines[2] == "a.jpg: truncated");
  CHECK_THROWS_AS(Progress(stage.options(true)).start("", 0, 1), anther::Error);
}

TEST_CASE("progress: what was done before it began does not count for the rate") {
  Stage stage;
  Progress progress(stage.options(false));
  progress.start("Epoch 2/3", 10, 100);
  progress.skip(6, 60);
  stage.now += 2;
  progress.update({.steps = 7, .samples = 70});
  CHECK(progress.samples_per_second() == doctest::Approx(5));
  CHECK(progress.seconds_left() == doctest::Approx(6));
  stage.now += 6;
  progress.update({.steps = 10, .samples = 100});
  progress.finish();
  CHECK(contains(stage.text(), "10/10  5.00 img/s  time 8s"));
}

}  // namespace
