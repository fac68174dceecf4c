// keelson: the server. Flags, logging, then Server until a signal ends it; or another mode of the
// program, named by its first argument.

#include <google/protobuf/stubs/logging.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/lsan_interface.h>
#endif

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "server/config.h"
#include "server/failpoint_door.h"
#include "server/leaving.h"
#include "server/logging.h"
#include "server/occasions.h"
#include "server/proxy_run.h"
#include "server/server.h"
#include "server/supervisor.h"

extern char** environ;

namespace {

using namespace keelson;  // NOLINT: the program itself
using server::Occasions;

constexpr Duration kDrain = std::chrono::seconds(5);
constexpr Duration kLongestEnd = std::chrono::seconds(60);
// Between two signs of life while a directory is written.
constexpr Duration kLongestStep = std::chrono::seconds(60);

// As under etcd, where the runtime of Go swallows these. SIGHUP ends a member there too, unless
// whoever started it (nohup) had it ignored; so does a signal by which its author means a crash.
void ignore_signals() {
  for (int number :
       {SIGPIPE, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGXCPU, SIGXFSZ, SIGIO, SIGPWR}) {
    ::signal(number, SIG_IGN);
  }
}

// A member whose log or store cannot be trusted must not answer anything more, so nothing is
// unwound: the message is written and the process ends.
[[noreturn]] void die(const absl::Status& status, server::Logging* logging) {
  log::write(log::Level::kFatal, "the member cannot go on", {{"error", message_of(status)}});
  if (logging) logging->flush();
  _exit(1);
}

// Nobody to tell is no failure; somebody who does not listen is worth a line, no more.
void note_told(const absl::Status& told) {
  if (!told.ok()) log::warn("cannot tell the service manager", {{"error", message_of(told)}});
}

// Says that the member serves, and that it lives if that is asked for.
void announce(const server::Supervisor& supervisor, server::Server& server) {
  if (!supervisor.present()) return;
  const absl::Status told = supervisor.ready();
  note_told(told);
  if (told.ok()) log::info("told the service manager that the member is ready");
  if (std::optional<Duration> interval = supervisor.watchdog_interval(getpid())) {
    server.watch_lanes(*interval, [&supervisor] { note_told(supervisor.alive()); });
  }
}

// Nothing in the orderly end waits without a bound of its own, but a disk may. What was
// acknowledged is durable without it, so when it takes too long the process ends as in a crash.
class EndGuard {
 public:
  explicit EndGuard(server::Logging* logging)
      : thread_([this, logging] {
          std::unique_lock lock(mutex_);
          if (done_.wait_for(lock, kLongestEnd, [this] { return over_; })) return;
          log::error("did not shut down in time; leaving as in a crash");
          logging->flush();
          _exit(1);
        }) {}
  ~EndGuard() {
    {
      std::lock_guard lock(mutex_);
      over_ = true;
    }
    done_.notify_one();
    thread_.join();
  }

 private:
  std::mutex mutex_;
  std::condition_variable done_;
  bool over_ = false;
  std::thread thread_;
};

// The end that whoever sent the signal looks for, as after etcd's own: by the signal. The first
// process of a container cannot die by one, so there it is an exit with 0.
[[noreturn]] void die_by(int number) {
#if defined(__SANITIZE_ADDRESS__)
  __lsan_do_leak_check();
#endif
  if (getpid() == 1) _exit(0);
  ::signal(number, SIG_DFL);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, number);
  ::kill(getpid(), number);
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
  _exit(128 + number);
}

// Until something ends it: a signal, or its removal from the cluster. Ok, or what went wrong.
absl::Status run(Occasions& occasions, const server::Supervisor& supervisor,
                 server::Server& server) {
  while (true) {
    switch (occasions.wait()) {
      case Occasions::kSignal:
        log::info("received signal; shutting down",
                  {{"signal", occasions.signal() == SIGTERM ? "terminated" : "interrupt"}});
        note_told(supervisor.stopping());
        return absl::OkStatus();
      case Occasions::kRemoved:
        log::warn("server error",
                  {{"error", "the member has been permanently removed from the cluster"}});
        log::warn("data-dir used by this member must be removed");
        note_told(supervisor.stopping());
        return absl::OkStatus();
      case Occasions::kReady:
        if (absl::Status s = server.serve(); !s.ok()) return s;
        announce(supervisor, server);
        break;
      case Occasions::kNothing:
        break;
    }
  }
}

int failed_to_start(const absl::Status& why) {
  log::write(log::Level::kFatal, "failed to start", {{"error", message_of(why)}});
  return 1;
}

// The program's exit code; a signal that ended it in order is left in `ended_by`.
int serve(const server::CommandLine& line, int* ended_by) {
  Occasions occasions;  // before the log's thread: a signal would end the process there
  absl::StatusOr<std::unique_ptr<server::Logging>> logging =
      server::Logging::start(line.config.log);
  if (!logging.ok()) {
    std::fprintf(stderr, "failed to verify flags: %s\n",
                 std::string(message_of(logging.status())).c_str());
    return 1;
  }
  server::log_notes(line.notes);
  const absl::StatusOr<std::unique_ptr<server::FailpointDoor>> failpoints =
      server::FailpointDoor::open_from_environment();
  if (!failpoints.ok()) return failed_to_start(failpoints.status());
  server::Logging* sink = logging->get();
  const server::Supervisor supervisor(server::Supervisor::environment());
  std::optional<EndGuard> guard;  // over the end of all that follows
  absl::StatusOr<std::unique_ptr<server::Server>> server = server::Server::start(
      line.config, {.fatal = [sink](absl::Status status) { die(status, sink); },
                    .ready = [&] { occasions.say(Occasions::kReady); },
                    .removed = [&] { occasions.say(Occasions::kRemoved); },
                    .given_up = [&] { return occasions.signal_waits(); }});
  if (!server.ok()) return failed_to_start(server.status());
  if (absl::Status s = run(occasions, supervisor, **server); !s.ok()) return failed_to_start(s);
  guard.emplace(sink);
  absl::Status stopped = (*server)->stop(kDrain);
  if (!stopped.ok()) {
    log::error("did not shut down cleanly", {{"error", message_of(stopped)}});
    return 1;
  }
  guard.reset();
  const std::optional<int> minor = (*server)->leaves_for();
  if (minor && occasions.signal() != 0) {
    server->reset();  // nothing of the store is open any more
    SystemClock clock;
    MonotonicTime due;
    server::leave(line.config, *minor, [&] {
      if (clock.now() >= due) {
        due = clock.now() + kLongestStep / 4;
        note_told(supervisor.stopping_for(kLongestStep));
      }
      return !occasions.signal_waits();
    });
  }
  log::info("shut down");
  *ended_by = occasions.signal();
  return 0;
}

}  // namespace

// jemalloc's, which reads it before main(): what is freed goes back to the system within a second
// or two, by a thread that has nothing else to do (docs/decisions/0009-freed-memory-returns.md).
// Its samples of who takes memory can be switched on (http/heap_profile.h); off they cost nothing.
// Nobody reads it in builds with sanitizers, which have allocators of their own.
extern "C" {
extern const char* const malloc_conf;
const char* const malloc_conf =
    "background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0,"
    "prof:true,prof_active:false,lg_prof_sample:19";
}

int main(int argc, char** argv) {
  ignore_signals();
  // Who sends what does not parse is told; beside the log nothing is written.
  google::protobuf::SetLogHandler(nullptr);
  // What a member writes is for its user alone, whatever the shell's mask; also what RocksDB
  // writes. Sockets are as open as that mask has them, as etcd's are.
  const mode_t mask = ::umask(0077);
  int signal = 0;
  const std::vector<std::string> command_line(argv, argv + argc);
  if (server::asks_for_proxy(command_line)) {
    const int code = server::run_proxy(command_line, &signal);
    if (signal != 0) die_by(signal);
    return code;
  }
  std::vector<std::string> args(argv + 1, argv + argc);
  server::CommandLine line = server::parse_command_line(args, server::environment_of(environ));
  if (line.exit) {
    std::fputs(line.exit->out.c_str(), stdout);
    std::fputs(line.exit->err.c_str(), stderr);
    return line.exit->exit_code;
  }
  line.config.unix_socket_mode = 0777 & ~mask;
  const int code = serve(line, &signal);
  if (signal != 0) die_by(signal);
  return code;
}
