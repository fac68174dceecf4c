#include "base/failpoint.h"

#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdlib>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "base/gofail.h"
#include "base/log.h"
#include "base/random.h"
#include "base/text.h"

namespace keelson::failpoint {

namespace internal {
constinit std::atomic<bool> any_armed{false};
}  // namespace internal

namespace {

enum class Action { kCrash, kExit, kPause, kSleep, kError };

struct Failpoint {
  Action action = Action::kCrash;
  int argument = 0;
  uint64_t only_hit = 0;     // 0: every hit
  double probability = 1.0;  // of each hit that `only_hit` lets through
  uint64_t hits = 0;
};

using Table = std::map<std::string, Failpoint, std::less<>>;

struct State {
  std::mutex mutex;
  std::condition_variable disarmed;
  uint64_t generation = 0;  // counts calls of arm(): a paused thread waits for the next one
  Table table;
  SeededRandom random{1};
};

// Never destroyed: threads may pass failpoints while the process exits.
State& state() {
  static State* const instance = new State;
  return *instance;
}

template <typename Number>
bool parse_number(std::string_view text, Number* out) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *out);
  return error == std::errc() && end == text.data() + text.size();
}

// Cuts off what follows the last `mark` in `text`; empty when there is none.
std::string_view take_suffix(std::string_view* text, char mark) {
  size_t at = text->rfind(mark);
  if (at == std::string_view::npos) return {};
  std::string_view suffix = text->substr(at + 1);
  *text = text->substr(0, at);
  return suffix;
}

bool parse_action(std::string_view text, Failpoint* out) {
  size_t colon = text.find(':');
  std::string_view name = text.substr(0, colon);
  bool has_argument = colon != std::string_view::npos;
  if (has_argument && !parse_number(text.substr(colon + 1), &out->argument)) return false;

  if (name == "crash") {
    out->action = Action::kCrash;
    return !has_argument;
  }
  if (name == "pause") {
    out->action = Action::kPause;
    return !has_argument;
  }
  if (name == "sleep") {
    out->action = Action::kSleep;
    return has_argument && out->argument >= 0;
  }
  if (name == "exit") {
    out->action = Action::kExit;
    if (!has_argument) out->argument = 1;
    return true;
  }
  if (name == "error") {
    out->action = Action::kError;
    if (!has_argument) out->argument = EIO;
    return out->argument > 0;
  }
  return false;
}

bool parse_one(std::string_view item, Table* table) {
  size_t equals = item.find('=');
  if (equals == std::string_view::npos || equals == 0) return false;
  Failpoint point;
  std::string_view rest = item.substr(equals + 1);

  bool has_probability = rest.find('%') != std::string_view::npos;
  std::string_view probability = take_suffix(&rest, '%');
  if (has_probability && !parse_number(probability, &point.probability)) return false;
  if (!(point.probability >= 0 && point.probability <= 1)) return false;

  bool has_count = rest.find('@') != std::string_view::npos;
  std::string_view count = take_suffix(&rest, '@');
  if (has_count && (!parse_number(count, &point.only_hit) || point.only_hit == 0)) return false;

  if (!parse_action(rest, &point)) return false;
  return table->insert_or_assign(std::string(item.substr(0, equals)), point).second;
}

absl::Status parse(std::string_view spec, Table* table) {
  while (!spec.empty()) {
    size_t end = spec.find_first_of(";,");
    std::string_view item = spec.substr(0, end);
    spec = end == std::string_view::npos ? std::string_view() : spec.substr(end + 1);
    if (item.empty()) continue;
    if (!parse_one(item, table)) {
      return absl::InvalidArgumentError(
          cat("failpoint \"", item, "\": want name=crash|exit[:code]|pause|sleep:ms|error[:errno]",
              " with @hit and %probability after it, each name once"));
    }
  }
  return absl::OkStatus();
}

// REQUIRES: the state's mutex is held.
bool strikes(Failpoint& point, SeededRandom& random) {
  ++point.hits;
  if (point.only_hit != 0 && point.hits != point.only_hit) return false;
  if (point.probability >= 1.0) return true;
  double draw = static_cast<double>(random.next() >> 11) * 0x1.0p-53;
  return draw < point.probability;
}

// REQUIRES: the state's mutex is held.
void look_whether_armed(const State& s) {
  internal::any_armed.store(!s.table.empty() || gofail::internal::any_armed(),
                            std::memory_order_relaxed);
}

// Runs before main, so that failpoints hold from the first line on. A misspelt list must not pass
// for a drill that found nothing: it stops the program.
const bool armed_from_environment = [] {
  const char* spec = std::getenv("KEELSON_FAILPOINTS");
  if (spec == nullptr || *spec == '\0') return false;
  uint64_t seed = 1;
  const char* seed_text = std::getenv("KEELSON_FAILPOINT_SEED");
  absl::Status status = absl::OkStatus();
  if (seed_text != nullptr && !parse_number(std::string_view(seed_text), &seed)) {
    status = absl::InvalidArgumentError("KEELSON_FAILPOINT_SEED is not a number");
  }
  if (status.ok()) status = arm(spec, seed);
  if (!status.ok()) {
    log::error("cannot arm failpoints", {{"error", message_of(status)}});
    _exit(2);
  }
  return true;
}();

}  // namespace

absl::Status arm(std::string_view spec, uint64_t seed) {
  Table table;
  absl::Status parsed = parse(spec, &table);
  if (!parsed.ok()) return parsed;

  State& s = state();
  {
    std::lock_guard lock(s.mutex);
    s.table = std::move(table);
    look_whether_armed(s);
    s.random = SeededRandom(seed);
    ++s.generation;
  }
  s.disarmed.notify_all();
  return absl::OkStatus();
}

void disarm() { arm("").IgnoreError(); }

bool any_armed() { return internal::any_armed.load(std::memory_order_relaxed); }

uint64_t hits(std::string_view name) {
  State& s = state();
  std::lock_guard lock(s.mutex);
  auto it = s.table.find(name);
  return it == s.table.end() ? 0 : it->second.hits;
}

namespace internal {

void note_armed() {
  State& s = state();
  std::lock_guard lock(s.mutex);
  look_whether_armed(s);
}

absl::Status hit(std::string_view name) {
  const std::optional<std::string> failure = gofail::internal::hit(name);
  if (failure) return absl::UnknownError(to_absl(*failure));
  State& s = state();
  std::unique_lock lock(s.mutex);
  auto it = s.table.find(name);
  if (it == s.table.end() || !strikes(it->second, s.random)) return absl::OkStatus();

  const Action action = it->second.action;
  const int argument = it->second.argument;
  switch (action) {
    case Action::kCrash:
      kill(getpid(), SIGKILL);
      _exit(137);  // not reached: nothing survives SIGKILL
    case Action::kExit:
      _exit(argument);
    case Action::kPause: {
      const uint64_t generation = s.generation;
      s.disarmed.wait(lock, [&] { return s.generation != generation; });
      return absl::OkStatus();
    }
    case Action::kSleep:
      lock.unlock();
      std::this_thread::sleep_for(std::chrono::milliseconds(argument));
      return absl::OkStatus();
    case Action::kError:
      return absl::ErrnoToStatus(argument, to_absl(cat("failpoint ", name)));
  }
  return absl::OkStatus();
}

}  // namespace internal

}  // namespace keelson::failpoint
