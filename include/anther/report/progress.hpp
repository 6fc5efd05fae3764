// The line that says how training goes:
//
//   Epoch 3/20  12/49 [=>..........] loss 3.9911  top-1 8.2%  37.1 img/s  ETA 12:34
//
// On a terminal it is drawn again in place and never wraps; elsewhere it prints about ten lines for
// each epoch.
#pragma once

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "anther/core/check.hpp"
#include "anther/core/once.hpp"

namespace anther::inline v0_1::report {

// A number as printf's format says it: formatted("%.1f", 37.06) is "37.1".
inline std::string formatted(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

// Seconds as 45s, 1:05 or 2:00:07, rounded; "?" if they are not a length of time.
ANTHER_ONCE std::string format_duration(double seconds) {
  if (!(seconds >= 0 && seconds < 1e9)) return "?";
  const std::int64_t all = std::llround(seconds);
  if (all < 60) return detail::text_of(all, "s");
  const auto two_digits = [](std::int64_t n) { return detail::text_of(n < 10 ? "0" : "", n); };
  if (all < 3600) return detail::text_of(all / 60, ":", two_digits(all % 60));
  return detail::text_of(all / 3600, ":", two_digits(all / 60 % 60), ":", two_digits(all % 60));
}

// A loss: with four decimals if that is enough to see something.
inline std::string format_loss(double loss) {
  const double size = std::abs(loss);
  return formatted(size != 0 && (size < 1e-3 || size >= 1e4) ? "%.3e" : "%.4f", loss);
}

struct ProgressOptions {
  std::FILE* out = stdout;
  std::optional<bool> terminal = {};   // empty: whether `out` is one
  int columns = 0;                     // 0: asks the terminal each time
  std::function<double()> clock = {};  // seconds; empty: a steady clock
  double seconds_between_redraws = 0.1;
  std::string unit = "samples";  // what is counted a second
};

// How far a part of the work has come.
struct ProgressStatus {
  std::int64_t steps = 0;    // done since start()
  std::int64_t samples = 0;  // done since start()
  std::optional<double> loss = {};
  std::string_view metric = {};  // "top-1 8.2%"
  std::string_view note = {};    // short; shown as it is
};

class Progress {
 public:
  explicit Progress(ProgressOptions options = {}) : options_(std::move(options)) {
    if (!options_.clock)
      options_.clock = [] {
        using namespace std::chrono;
        return duration<double>(steady_clock::now().time_since_epoch()).count();
      };
    const char* type = std::getenv("TERM");
    terminal_ = options_.terminal.value_or(::isatty(::fileno(options_.out)) != 0 && type &&
                                           std::string_view(type) != "dumb");
  }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress() { leave(); }

  // Begins a part of the work ("Epoch 3/20") of so many steps and samples.
  void start(std::string title, std::int64_t steps, std::int64_t samples) {
    detail::check(steps > 0 && samples > 0,
                  "progress: expected at least one step and one sample, got ", steps, " and ",
                  samples);
    title_ = std::move(title);
    all_steps_ = steps;
    all_samples_ = samples;
    last_ = {};
    skipped_ = 0;
    note_.clear();
    metric_.clear();
    recent_samples_ = recent_seconds_ = 0;
    tenths_ = 0;
    bar_ = longest_bar;
    running_ = true;
    started_ = last_update_ = options_.clock();
    if (terminal_) draw(started_);
  }

  // Steps and samples of this part that were done before start(). They take no time of it.
  void skip(std::int64_t steps, std::int64_t samples) {
    last_.steps = steps;
    last_.samples = skipped_ = samples;
  }

  // Call it after each step. Most calls only take note.
  void update(const ProgressStatus& status) {
    const double now = options_.clock();
    // Older work counts less: e times less for every 20 seconds.
    const double weight = std::exp(-(now - last_update_) / 20);
    recent_samples_ =
        recent_samples_ * weight + static_cast<double>(status.samples - last_.samples);
    recent_seconds_ = recent_seconds_ * weight + (now - last_update_);
    last_update_ = now;
    last_ = status;
    last_.note = last_.metric = {};  // the caller's memory may be gone by the next drawing
    note_ = status.note;
    metric_ = status.metric;
    if (terminal_) {
      if (now - drawn_ >= options_.seconds_between_redraws) draw(now);
    } else if (const std::int64_t tenths = 10 * status.steps / all_steps_;
               tenths > tenths_ && status.steps < all_steps_) {
      tenths_ = tenths;
      put(line(plain_columns, now) + "\n");
    }
  }

  // Ends the part: the last line stays, with the time taken and the mean rate.
  void finish() {
    if (!running_) return;
    const double now = options_.clock();
    recent_samples_ = static_cast<double>(last_.samples - skipped_);
    recent_seconds_ = now - started_;
    running_ = false;
    if (terminal_) draw(now);
    put(terminal_ ? "\n" : line(plain_columns, now) + "\n");
  }

  // Leaves the line as it is, so that the message of what ended the work early starts on a new
  // line.
  void leave() {
    if (running_ && terminal_) put("\n");
    running_ = false;
  }

  // Prints a line of text above the bar.
  void print(std::string_view text) {
    put(detail::text_of(running_ && terminal_ ? "\r\x1b[K" : "", text, "\n"));
    if (running_ && terminal_) draw(options_.clock());
  }

  // Of the last 20 seconds or so; 0 before the first step.
  double samples_per_second() const {
    return recent_seconds_ > 0 ? recent_samples_ / recent_seconds_ : 0;
  }
  // The rest of this part, in seconds; infinite before the first step.
  double seconds_left() const {
    return static_cast<double>(all_samples_ - last_.samples) / samples_per_second();
  }

 private:
  static constexpr int longest_bar = 30;
  static constexpr int plain_columns = 10'000;  // a log's lines may have any length

  int columns() const {
    if (options_.columns > 0) return options_.columns;
    winsize size{};
    if (::ioctl(::fileno(options_.out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
      return size.ws_col;
    const char* variable = std::getenv("COLUMNS");
    const int columns = variable ? std::atoi(variable) : 0;
    return columns > 0 ? columns : 80;
  }

  void draw(double now) {
    drawn_ = now;
    // One column less: at the last one, some terminals go on to the next line.
    put("\r" + line(columns() - 1, now) + "\x1b[K");
  }

  // Training does not end because nobody can see how it goes: errors are ignored.
  void put(const std::string& text) {
    std::fwrite(text.data(), 1, text.size(), options_.out);
    std::fflush(options_.out);
  }

  // The status in at most `width` characters. The less room there is, the tighter it is, and the
  // fewer parts it has.
  std::string line(int width, double now) {
    struct Layout {
      const char* gap;
      int least_bar;  // 0: no bar
      bool note, rate, metric, time;
    };
    static constexpr Layout layouts[] = {
        {"  ", 6, true, true, true, true},   {" ", 4, true, true, true, true},
        {"  ", 0, true, true, true, true},   {" ", 0, true, true, true, true},
        {" ", 0, false, true, true, true},   {" ", 0, false, false, true, true},
        {" ", 0, false, false, false, true}, {" ", 0, false, false, false, false}};
    const std::string total = std::to_string(all_steps_);
    std::string steps = std::to_string(last_.steps);
    if (steps.size() < total.size()) steps.insert(0, total.size() - steps.size(), ' ');

    std::string text;
    for (const Layout& layout : layouts) {
      const std::string head = detail::text_of(title_, layout.gap, steps, "/", total);
      std::string tail;
      const auto add = [&](const std::string& part) { tail += detail::text_of(layout.gap, part); };
      if (last_.loss) add("loss " + format_loss(*last_.loss));
      if (layout.metric && !metric_.empty()) add(metric_);
      if (const double rate = samples_per_second(); rate > 0 && layout.rate)
        add(formatted(rate >= 100  ? "%.0f "
                      : rate >= 10 ? "%.1f "
                                   : "%.2f ",
                      rate) +
            options_.unit + "/s");
      if (layout.note && !note_.empty()) add(note_);
      if (!running_)
        add("time " + format_duration(now - started_));
      else if (layout.time && last_.samples > 0)
        add("ETA " + format_duration(seconds_left()));

      text = head + tail;
      const int room = width - static_cast<int>(text.size()) - 3;
      if (layout.least_bar > 0 && terminal_ && room >= layout.least_bar) {
        // It does not grow again as other parts shrink; at first it leaves room for these.
        int bar_width = std::min(longest_bar, std::max(layout.least_bar, room - 47));
        if (last_.steps > 0) bar_width = bar_ = std::min(bar_, room);
        // One space before the first part of the tail is enough.
        const std::string_view rest = std::string_view(tail).substr(
            tail.empty() ? 0 : std::string_view(layout.gap).size() - 1);
        return detail::text_of(head, " ", bar(bar_width), rest);
      }
      if (layout.least_bar > 0 && terminal_) continue;
      if (static_cast<int>(text.size()) <= width) return text;
    }
    return text.substr(0, static_cast<std::size_t>(std::max(0, width)));
  }

  std::string bar(int width) const {
    const auto size = static_cast<std::size_t>(width);
    const auto done = static_cast<std::size_t>(
        std::clamp<std::int64_t>(width * last_.steps / all_steps_, 0, width));
    std::string text = "[" + std::string(done, '=') + std::string(size - done, '.') + "]";
    if (done > 0 && done < size) text[done] = '>';
    return text;
  }

  ProgressOptions options_;
  bool terminal_ = false;
  bool running_ = false;
  std::string title_;
  std::string note_, metric_;
  ProgressStatus last_;
  std::int64_t all_steps_ = 1;
  std::int64_t all_samples_ = 1;
  std::int64_t skipped_ = 0;  // samples
  double started_ = 0;
  double last_update_ = 0;
  double drawn_ = 0;
  double recent_samples_ = 0;
  double recent_seconds_ = 0;
  std::int64_t tenths_ = 0;  // of the steps, when a plain line was last printed
  int bar_ = longest_bar;
};

}  // namespace anther::inline v0_1::report
