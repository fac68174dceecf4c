#include "base/gofail.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "base/failpoint.h"
#include "base/log.h"
#include "base/random.h"
#include "base/text.h"

namespace keelson::gofail {
namespace {

// Etcd's name, and a place that does the same step here (docs/failpoints.md).
struct Place {
  std::string_view name;
  std::string_view place;
  bool fails = false;  // with the text of a return
};
constexpr Place kPlaces[] = {
    {"afterCommit", "backend_after_commit"},
    {"afterStartDBTxn", "backend_before_commit"},
    {"afterWritebackBuf", "mvcc_after_commit"},
    {"applyAfterOpenSnapshot", "apply_opened"},
    {"applyBeforeOpenSnapshot", "apply_before_install"},
    {"beforeApplyOneConfChange", "apply_conf_change"},
    {"beforeApplyOneEntryNormal", "apply_entry"},
    {"beforeCheckpointInLeaseRenew", "lease_before_renew"},
    {"beforeCommit", "backend_before_commit"},
    {"beforeMoveVictims", "watch_before_resume"},
    {"beforeProgressIfSync", "watch_before_progress"},
    {"beforeRangeStreamChunk", "rpc_before_chunk"},
    {"beforeSendWatchResponse", "watch_before_send"},
    {"beforeStartDBTxn", "mvcc_before_commit"},
    {"beforeSyncWatchers", "watch_before_catch_up"},
    {"beforeWritebackBuf", "backend_after_commit"},
    {"commitAfterPreCommitHook", "backend_before_commit"},
    {"commitBeforePreCommitHook", "mvcc_before_commit"},
    {"compactAfterAcquiredBatchTxLock", "mvcc_compact_step"},
    {"compactAfterCommitBatch", "mvcc_compact_committed"},
    {"compactAfterCommitScheduledCompact", "mvcc_compact_step"},
    {"compactAfterSetFinishedCompact", "mvcc_compact_finished"},
    {"compactBeforeCommitBatch", "mvcc_compact_step"},
    {"compactBeforeCommitScheduledCompact", "mvcc_compact_scheduled"},
    {"compactBeforeSetFinishedCompact", "mvcc_compact_finished"},
    {"defragBeforeCopy", "backend_before_reclaim"},
    {"defragBeforeRename", "backend_after_reclaim"},
    {"defragOpenFileError", "backend_defragment", true},
    {"defragdbFail", "backend_defragment", true},
    {"raftAfterApplySnap", "consensus_started_over"},
    {"raftAfterSave", "wal_after_sync"},
    {"raftAfterSaveSnap", "log_after_snapshot"},
    {"raftAfterWALRelease", "log_snapshot_released"},
    {"raftBeforeAdvance", "consensus_after_ready"},
    {"raftBeforeApplySnap", "consensus_start_over"},
    {"raftBeforeFollowerSend", "consensus_follower_send"},
    {"raftBeforeLeaderSend", "consensus_leader_send"},
    {"raftBeforeSave", "consensus_saves_nothing"},
    {"raftBeforeSave", "wal_before_append"},
    {"raftBeforeSaveSnap", "log_before_snapshot"},
    {"raftBeforeWALSaveSnaphot", "log_before_snapshot"},
    {"walAfterSync", "wal_after_sync"},
    {"walBeforeSync", "wal_before_sync"},
};

enum class Action : uint8_t { kOff, kReturn, kSleep, kPanic, kPrint };

struct Term {
  std::optional<uint64_t> left;  // how often it still applies
  double chance = 1.0;           // of each time
  Action action = Action::kOff;
  std::string value;  // as text; empty: none
};

struct Armed {
  std::string text;
  std::vector<Term> terms;
  uint64_t count = 0;  // terms that applied
};

struct State {
  std::mutex mutex;
  std::mutex panics;
  std::condition_variable may_panic;
  int holds = 0;                                    // >= 0; under `panics`
  std::map<std::string, Armed, std::less<>> armed;  // by etcd's name
  SeededRandom random{1};
};

// Never destroyed: threads may pass failpoints while the process exits.
State& state() {
  static State* const instance = new State;
  return *instance;
}

bool is_known(std::string_view name) {
  return std::ranges::find(kPlaces, name, &Place::name) != std::end(kPlaces);
}

bool take(std::string_view* text, std::string_view prefix) {
  if (!text->starts_with(prefix)) return false;
  text->remove_prefix(prefix.size());
  return true;
}

// "3*" or "2.5%", any number of them.
bool parse_modifiers(std::string_view* text, Term* term) {
  while (!text->empty() && text->front() >= '0' && text->front() <= '9') {
    const size_t size = std::min(text->find_first_not_of("0123456789."), text->size());
    const std::string_view number = text->substr(0, size);
    text->remove_prefix(size);
    const char* end = number.data() + number.size();
    if (take(text, "*")) {
      uint64_t count = 0;
      auto [at, error] = std::from_chars(number.data(), end, count);
      if (error != std::errc() || at != end) return false;
      term->left = count;
    } else if (take(text, "%") && number.find('.') != number.npos) {
      auto [at, error] = std::from_chars(number.data(), end, term->chance);
      if (error != std::errc() || at != end) return false;
      term->chance /= 100;
    } else {
      return false;
    }
  }
  return true;
}

bool parse_action(std::string_view* text, Term* term) {
  constexpr std::pair<std::string_view, Action> kActions[] = {{"off", Action::kOff},
                                                              {"return", Action::kReturn},
                                                              {"sleep", Action::kSleep},
                                                              {"panic", Action::kPanic},
                                                              {"print", Action::kPrint}};
  for (const auto& [name, action] : kActions) {
    if (!take(text, name)) continue;
    term->action = action;
    return true;
  }
  return false;
}

// Nothing, (), (5), (true) or ("text").
bool parse_value(std::string_view* text, Term* term) {
  if (!take(text, "(")) return true;
  const bool quoted = take(text, "\"");
  const std::string_view close = quoted ? "\")" : ")";
  const size_t end = text->find(close);
  if (end == text->npos) return false;
  term->value = std::string(text->substr(0, end));
  text->remove_prefix(end + close.size());
  return true;
}

std::optional<std::vector<Term>> parse(std::string_view text) {
  std::vector<Term> terms;
  do {
    Term& term = terms.emplace_back();
    if (!parse_modifiers(&text, &term) || !parse_action(&text, &term)) return std::nullopt;
    if (!parse_value(&text, &term)) return std::nullopt;
  } while (take(&text, "->"));
  if (!text.empty()) return std::nullopt;
  return terms;
}

// "100" (milliseconds) or Go's "1m2.5s".
std::optional<std::chrono::nanoseconds> parse_duration(std::string_view text) {
  constexpr std::pair<std::string_view, double> kUnits[] = {{"ns", 1},  {"us", 1e3}, {"ms", 1e6},
                                                            {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}};
  double total = 0;
  bool first = true;
  while (first || !text.empty()) {
    double number = 0;
    auto [at, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || !(number >= 0)) return std::nullopt;
    text.remove_prefix(static_cast<size_t>(at - text.data()));
    if (first && text.empty()) return std::chrono::nanoseconds(static_cast<int64_t>(number * 1e6));
    first = false;
    auto unit = std::find_if(std::begin(kUnits), std::end(kUnits),
                             [&](const auto& u) { return take(&text, u.first); });
    if (unit == std::end(kUnits)) return std::nullopt;
    total += number * unit->second;
  }
  return std::chrono::nanoseconds(static_cast<int64_t>(total));
}

// REQUIRES: the state's mutex is held.
std::optional<Term> applying(Armed& armed, Random& random) {
  for (Term& term : armed.terms) {
    if (term.left == 0) continue;
    if (term.left) --*term.left;
    if (static_cast<double>(random.next() >> 11) * 0x1.0p-53 > term.chance) continue;
    ++armed.count;
    return term;
  }
  return std::nullopt;
}

void act(std::string_view name, const Term& term) {
  switch (term.action) {
    case Action::kOff:
    case Action::kReturn:
      return;
    case Action::kPrint:
      std::printf("failpoint print: %.*s\n", static_cast<int>(name.size()), name.data());
      std::fflush(stdout);
      return;
    case Action::kSleep:
      if (auto time = parse_duration(term.value)) std::this_thread::sleep_for(*time);
      return;
    case Action::kPanic: {
      std::unique_lock lock(state().panics);
      state().may_panic.wait(lock, [] { return state().holds == 0; });
      const std::string text = cat(
          "panic: failpoint panic: ", term.value.empty() ? std::string(name) : term.value, "\n");
      [[maybe_unused]] ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
      _exit(2);  // as a Go program that panics; nothing is flushed
    }
  }
}

absl::Status unknown() { return absl::NotFoundError("failpoint: failpoint does not exist"); }

Answer get(std::string_view key) {
  State& s = state();
  std::lock_guard lock(s.mutex);
  if (key.empty()) {
    Answer all;
    for (const std::string& name : names()) {
      auto found = s.armed.find(name);
      all.body += cat(name, "=", found == s.armed.end() ? "" : found->second.text, "\n");
    }
    return all;
  }
  const bool counts = key.ends_with("/count");
  if (counts) key.remove_suffix(6);
  if (!is_known(key)) return {404, cat("failed to GET: ", message_of(unknown()), "\n")};
  auto found = s.armed.find(key);
  if (found == s.armed.end()) {
    return {counts ? 500 : 404, "failed to GET: failpoint: failpoint is disabled\n"};
  }
  return {200, counts ? cat(found->second.count) : found->second.text + "\n"};
}

const bool armed_from_environment = [] {
  const char* list = std::getenv("GOFAIL_FAILPOINTS");
  if (list == nullptr || *list == '\0') return false;
  if (absl::Status status = arm_all(list); !status.ok()) {
    log::error("cannot arm failpoints", {{"error", message_of(status)}});
    _exit(1);
  }
  return true;
}();

}  // namespace

std::vector<std::string> names() {
  std::vector<std::string> out;
  for (const Place& place : kPlaces) {
    if (out.empty() || out.back() != place.name) out.emplace_back(place.name);
  }
  return out;
}

absl::Status arm(std::string_view name, std::string_view terms) {
  if (!is_known(name)) return unknown();
  std::optional<std::vector<Term>> parsed = parse(terms);
  if (!parsed) return absl::InvalidArgumentError("failpoint: could not parse terms");
  State& s = state();
  {
    std::lock_guard lock(s.mutex);
    s.armed.insert_or_assign(std::string(name), Armed{std::string(terms), *std::move(parsed)});
  }
  failpoint::internal::note_armed();
  return absl::OkStatus();
}

namespace {

absl::Status arm_list(std::string_view list, bool all_known) {
  while (!list.empty()) {
    const size_t end = list.find(';');
    const std::string_view item = list.substr(0, end);
    list = end == list.npos ? std::string_view() : list.substr(end + 1);
    if (item.empty()) continue;
    const size_t equals = item.find('=');
    if (equals == item.npos) return absl::InvalidArgumentError(cat("bad failpoint \"", item, "\""));
    absl::Status status = arm(item.substr(0, equals), item.substr(equals + 1));
    if (!status.ok() && (all_known || !absl::IsNotFound(status))) return status;
  }
  return absl::OkStatus();
}

}  // namespace

// As etcd's programs, what they do not know is passed over: one list serves several versions.
absl::Status arm_all(std::string_view list) { return arm_list(list, false); }

absl::Status disarm(std::string_view name) {
  if (!is_known(name)) return unknown();
  State& s = state();
  {
    std::lock_guard lock(s.mutex);
    auto found = s.armed.find(name);
    if (found == s.armed.end()) {
      return absl::FailedPreconditionError("failpoint: failpoint is disabled");
    }
    s.armed.erase(found);
  }
  failpoint::internal::note_armed();
  return absl::OkStatus();
}

void disarm_all() {
  State& s = state();
  {
    std::lock_guard lock(s.mutex);
    s.armed.clear();
  }
  failpoint::internal::note_armed();
}

Answer answer(std::string_view method, std::string_view target, std::string_view body) {
  if (!take(&target, "/")) return {400, "malformed request URI\n"};
  if (method == "GET") return get(target);
  if (method == "PUT") {
    absl::Status status = target == "failpoints" ? arm_list(body, true) : arm(target, body);
    if (status.ok()) return {204, ""};
    return {400, cat("fail to set failpoint: ", message_of(status), "\n")};
  }
  if (method == "DELETE") {
    absl::Status status = disarm(target);
    if (status.ok()) return {204, ""};
    return {400, cat("failed to delete failpoint ", message_of(status), "\n")};
  }
  return {405, "Method not allowed\n"};
}

PanicHold::PanicHold() {
  std::lock_guard lock(state().panics);
  ++state().holds;
}

PanicHold::~PanicHold() {
  {
    std::lock_guard lock(state().panics);
    --state().holds;
  }
  state().may_panic.notify_all();
}

namespace internal {

bool any_armed() {
  State& s = state();
  std::lock_guard lock(s.mutex);
  return !s.armed.empty();
}

std::optional<std::string> hit(std::string_view place) {
  State& s = state();
  std::vector<std::pair<const Place*, Term>> struck;
  {
    std::lock_guard lock(s.mutex);
    for (const Place& known : kPlaces) {
      if (known.place != place) continue;
      auto found = s.armed.find(known.name);
      if (found == s.armed.end()) continue;
      if (auto term = applying(found->second, s.random)) struck.emplace_back(&known, *term);
    }
  }
  std::optional<std::string> failure;
  for (const auto& [known, term] : struck) {
    act(known->name, term);
    if (known->fails && term.action == Action::kReturn) failure = term.value;
  }
  return failure;
}

}  // namespace internal
}  // namespace keelson::gofail
