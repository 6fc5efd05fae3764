// What the system asks of a program by signals, for training that must not be lost:
//
//   FitOptions options{..., .stop = stop_on_signals()};
//
// Ctrl-C, SIGTERM, a closed terminal (SIGHUP), SIGUSR1 and SIGUSR2 (batch systems send them before
// the time is up) and SIGXCPU (the limit of processor time) stop the run after the step under way,
// where its state is saved. The handler only sets a flag. A second Ctrl-C ends the program at once.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <functional>

#include "anther/core/once.hpp"

namespace anther::inline v0_1 {

namespace detail {

// The signal that asked for a stop; 0: none did.
inline volatile std::sig_atomic_t stop_signal = 0;
extern "C" inline void anther_note_stop_signal(int signal) {
  stop_signal = signal;
  if (signal == SIGINT) std::signal(signal, SIG_DFL);
}

}  // namespace detail

inline bool stop_requested() {
  return detail::stop_signal != 0;
}

// Output that nobody reads any more is no reason to end: a write to a closed pipe then fails, and
// does not kill. The same goes for a file that grows beyond a limit. Where standard output or
// errors are closed, they lead nowhere: the next file that is opened would be taken for them.
ANTHER_ONCE void ignore_lost_output() {
  std::signal(SIGPIPE, SIG_IGN);
#ifdef SIGXFSZ
  std::signal(SIGXFSZ, SIG_IGN);
#endif
  for (int open = 0; open <= STDERR_FILENO;) {
    open = ::open("/dev/null", O_RDWR);
    if (open < 0) return;
    if (open > STDERR_FILENO) ::close(open);
  }
}

// Installs the handlers; returns what FitOptions::stop asks after each step.
ANTHER_ONCE std::function<bool()> stop_on_signals() {
  ignore_lost_output();
  std::signal(SIGINT, detail::anther_note_stop_signal);
  std::signal(SIGTERM, detail::anther_note_stop_signal);
  for (const int signal : {SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU}) {
    // Under nohup a hang-up is ignored already, and stays so.
    if (std::signal(signal, detail::anther_note_stop_signal) == SIG_IGN)
      std::signal(signal, SIG_IGN);
  }
  return stop_requested;
}

}  // namespace anther::inline v0_1
